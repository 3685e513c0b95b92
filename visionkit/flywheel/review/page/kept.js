// What a person had said of a picture that has to be looked at again: nothing drawn is lost.

// The card with all that the answers say beyond it ({labels, objects} each), offered and not there.
export function withOwn(card, ...answers) {
  const claims = [...card.claims];
  for (const { labels = [], objects = [] } of answers.filter(Boolean)) {
    for (const said of [...labels.map((label) => ({ label, box: null })), ...objects]) {
      if (!claims.some((claim) => isSame(claim, said))) claims.push(offered(said));
    }
  }
  return { ...card, claims };
}

function isSame(one, other) {
  return one.label === other.label && JSON.stringify(one.box) === JSON.stringify(other.box);
}

function offered({ label, box }) {
  const plain = { proposal: "", score: null, threshold: null, runner_up: "", runner_up_score: 0, inliers: -1 };
  return { ...plain, label, box, there: false, source: "you", own: true };
}
