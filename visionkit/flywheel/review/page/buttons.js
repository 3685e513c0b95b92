// Which button does what, and which can be pressed.

import { byId } from "./build.js";
import { letGo } from "./panel.js";
import { changeTheme } from "./theme.js";

const OF_A_PICTURE = ["accept", "reject", "unsure", "skip", "draw", "whole"];

export function bindButtons(review) {
  const clicks = {
    accept: () => review.answer("accept"),
    reject: () => review.answer("reject"),
    unsure: () => review.answer("unsure"),
    skip: () => review.skip(),
    undo: () => review.undo(),
    draw: () => review.editor.drawBox(),
    whole: () => review.editor.nameWhole(),
    "to-single": () => review.setMode("single"),
    "to-grid": () => review.setMode("grid"),
    "grid-accept": () => review.grid.submit(),
    "grid-flip": () => review.grid.flip(),
    "grid-skip": () => review.grid.skip(),
    "grid-undo": () => review.undo(),
    "grid-item": () => review.pickItem(),
    "open-filters": () => review.openFilters(),
    "open-progress": () => review.openProgress(),
    "open-help": () => review.openHelp(),
    "open-person": () => review.changePerson(),
    theme: changeTheme,
  };
  for (const [id, act] of Object.entries(clicks)) {
    byId(id).addEventListener("click", (event) => {
      letGo(event);
      act();
    });
  }
}

// draft: of the picture that is shown, or null; answers: how many can be taken back.
export function drawButtons(draft, answers) {
  for (const id of OF_A_PICTURE) byId(id).disabled = !draft;
  byId("undo").disabled = !answers && !draft?.steps.length;
  byId("grid-undo").disabled = !answers;
  byId("accept-word").textContent = draft?.changed ? "Save" : "Accept";
  byId("accept-words").textContent = draft ? draft.words : "";
}
