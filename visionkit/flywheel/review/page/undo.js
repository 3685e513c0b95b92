// Answers that are taken back, by the person or because the server could not write them.

import { card as fetchCard, makeId } from "./api.js";
import { toast } from "./build.js";
import { Draft } from "./draft.js";
import { withOwn } from "./kept.js";

// The last step in this picture, or the last answer.
export function undo(review) {
  if (review.mode === "single" && review.draft?.undo()) {
    review.editor.redraw();
    return;
  }
  const last = review.history.pop();
  if (!last) {
    toast("There is nothing to undo.");
    return;
  }
  const cards = last.entries.map((entry) => takeBack(review, entry));
  review.left.takenBack(cards.length);
  if (last.grid) {
    review.setMode("grid", false);
    review.grid.restore(cards, last.grid);
    return;
  }
  if (review.mode === "grid") review.setMode("single");
  if (review.draft) review.supply.putBack(review.draft);
  const { draft } = last.entries[0];
  draft.card = cards[0];
  review.show(cards[0], draft);
}

function takeBack(review, { card, message }) {
  if (review.outbox.drop(message.id)) return card;
  const revision = message.revision + 1;
  review.outbox.add(review.reviewer, { id: makeId(), sample_id: card.id, revision, action: "undo" });
  return { ...card, revision: revision + 1 };
}

// What became of an answer.
export function told(review, entry, result) {
  if (result.status === "saved") {
    if (entry.answer.action === "undo") review.leases.renew(); // the answer had ended the lease
    return;
  }
  const answers = [entry, ...review.outbox.dropAfter(entry)].map((each) => each.answer);
  review.left.refused(review.history.drop(answers.map((each) => each.id)));
  review.drawButtons();
  toast(`${result.what}: ${result.way_out || "look at it again"}.`, { bad: true, seconds: 9 });
  reopen(review, entry.answer.sample_id, answers);
}

// Puts a picture before the person as it is now; what they had said of it is offered.
async function reopen(review, id, said) {
  const { supply } = review;
  try {
    const now = await fetchCard(id, review.reviewer);
    const isShown = review.draft?.card.id === id;
    const draft = isShown ? review.draft : supply.drafts.get(id);
    const card = withOwn(now, ...said, draft?.answer("edit"));
    supply.forget(id);
    if (isShown) review.show(card);
    else supply.putBack(new Draft(card));
    if (!review.draft && review.mode === "single") review.next();
  } catch (error) {
    review.problem(error);
  }
}
