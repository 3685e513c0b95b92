// Which key does what. Keys do nothing of this while a sheet is open or a name is typed. A key that
// is held down acts once, lest it answer pictures that nobody has seen; only steps are repeated.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEPS = [...Object.keys(ARROWS), "j", "k", "+", "=", "-"];

export function listen(review) {
  document.addEventListener("keydown", (event) => {
    if (event.repeat && event.key === "Enter") { // it would press buttons and close sheets, too
      stop(event);
      return;
    }
    const field = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    const typing = field && !field.closest("dialog:not([open])");
    if (typing || document.querySelector("dialog[open]")) {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") event.stopImmediatePropagation();
      return;
    }
    const act = review.mode === "grid" ? gridAct(event, review) : singleAct(event, review);
    if (!act) return;
    stop(event);
    if (!event.repeat || STEPS.includes(plain(event))) act();
  }, true);
}

function stop(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

// The key, whether or not capitals are on.
function plain(event) {
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

function shared(event, review) {
  const key = plain(event);
  if ((event.ctrlKey || event.metaKey) && key === "z") return () => review.undo();
  if (event.ctrlKey || event.metaKey) return null;
  const acts = {
    z: () => review.undo(),
    g: () => review.setMode(review.mode === "grid" ? "single" : "grid"),
    f: () => review.openFilters(),
    p: () => review.openProgress(),
    "?": () => review.openHelp(),
  };
  return acts[key] || null;
}

function singleAct(event, review) {
  if (ARROWS[event.key] && review.draft?.current?.box) {
    const [x, y] = ARROWS[event.key].map((step) => step * (event.shiftKey ? 10 : 1));
    return () => (event.altKey ? review.editor.resize(x, y) : review.editor.nudge(x, y));
  }
  if (event.ctrlKey || event.metaKey) return shared(event, review);
  if (event.altKey) return null;
  if (event.key === "Enter" && event.target.closest?.("button")) return null;
  if (/^[1-9]$/.test(event.key)) return () => review.editor.quick(Number(event.key) - 1);
  const key = plain(event);
  const acts = {
    Enter: () => review.answer("accept"),
    a: () => review.answer("accept"),
    x: () => review.answer("reject"),
    u: () => review.answer("unsure"),
    s: () => review.skip(),
    j: () => review.editor.choose(1),
    k: () => review.editor.choose(-1),
    t: () => review.editor.toggle(),
    l: () => review.editor.rename(),
    d: () => review.editor.drawBox(),
    w: () => review.editor.nameWhole(),
    Delete: () => review.editor.remove(),
    Backspace: () => review.editor.remove(),
    Escape: () => review.editor.choose(0),
    "+": () => review.editor.magnify(1),
    "=": () => review.editor.magnify(1),
    "-": () => review.editor.magnify(-1),
  };
  return acts[key] || shared(event, review);
}

function gridAct(event, review) {
  if (ARROWS[event.key]) return () => review.grid.move(event.key);
  if (event.ctrlKey || event.metaKey) return shared(event, review);
  const onOther = event.target.closest?.("button:not(.tile)");
  if (event.key === "Enter" && !onOther) return () => review.grid.submit();
  const acts = { i: () => review.grid.flip(), s: () => review.grid.skip(), a: () => review.grid.submit() };
  return acts[plain(event)] || shared(event, review);
}
