// Small helpers that make elements; text is always text, whatever a label or a file name holds.

export function make(tag, values = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name === "class") element.className = value;
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function counted(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many || `${one}s`}`;
}

export function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function toast(words, { bad = false, seconds = 4 } = {}) {
  const place = byId("toasts");
  while (place.children.length > 2) place.firstChild.remove();
  const note = make("div", { class: bad ? "toast bad" : "toast" }, words);
  place.append(note);
  setTimeout(() => note.remove(), seconds * 1000);
}
