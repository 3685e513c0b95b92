// Zoom of the time axis, keys along a line, and the frame of an interval in large.
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const [hours, minutes] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60];
  const rest = (tenths % 600) / 10;
  const text = String(Math.floor(rest)).padStart(2, "0") + (rest % 1 ? "." + (tenths % 10) : "");
  return (hours ? hours + ":" + String(minutes).padStart(2, "0") : minutes) + ":" + text;
}

for (const timeline of document.querySelectorAll(".timeline")) {
  const [reel, inner] = [timeline.querySelector(".reel"), timeline.querySelector(".reel-inner")];
  const marks = timeline.querySelector(".marks");
  const [start, length] = [Number(timeline.dataset.start), Number(timeline.dataset.length)];
  const largest = Math.max(1, Math.min(length * 4, 4000)); // a quarter second fills the width
  let zoom = 1;

  function drawMarks() {
    const pixels = marks.clientWidth;
    const step = STEPS.find((each) => (each / length) * pixels >= 64) ?? 28800;
    marks.replaceChildren();
    for (let place = Math.ceil(start / step - 1e-6); place * step <= start + length; place++) {
      const share = (place * step - start) / length;
      if ((1 - share) * pixels < 34) break; // its words would stand out of the axis
      const mark = document.createElement("span");
      mark.style.left = 100 * share + "%";
      mark.textContent = clock(place * step);
      marks.append(mark);
    }
  }

  // The time under `at` (pixels from the left of the reel) stays where it is.
  function setZoom(next, at) {
    const names = reel.clientWidth - marks.clientWidth / zoom;
    const share = (reel.scrollLeft + at - names) / (zoom * (reel.clientWidth - names));
    zoom = Math.min(Math.max(next, 1), largest);
    inner.style.setProperty("--zoom", zoom);
    reel.scrollLeft = share * zoom * (reel.clientWidth - names) + names - at;
    for (const button of timeline.querySelectorAll("[data-zoom]"))
      button.disabled = Number(button.dataset.zoom) > 1 ? zoom >= largest : zoom <= 1;
    drawMarks();
  }

  for (const button of timeline.querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => setZoom(zoom * Number(button.dataset.zoom), reel.clientWidth / 2));
  reel.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    setZoom(zoom * Math.exp(-event.deltaY / 200), event.clientX - reel.getBoundingClientRect().left);
  }, { passive: false });
  reel.addEventListener("keydown", (event) => {
    if (event.key === "+" || event.key === "=") setZoom(zoom * 2, reel.clientWidth / 2);
    else if (event.key === "-") setZoom(zoom / 2, reel.clientWidth / 2);
    else if (event.key === "0") setZoom(1, 0);
  });
  new ResizeObserver(drawMarks).observe(reel);
  setZoom(1, 0);

  // One stop of the tab key a line; the arrows go along it.
  for (const lane of timeline.querySelectorAll(".bars")) {
    const bars = [...lane.children];
    bars.forEach((bar, place) => { bar.tabIndex = place ? -1 : 0; });
    lane.addEventListener("keydown", (event) => {
      const to = { ArrowRight: 1, ArrowLeft: -1, Home: -bars.length, End: bars.length }[event.key];
      if (!to) return;
      event.preventDefault();
      const next = bars[Math.min(Math.max(bars.indexOf(document.activeElement) + to, 0), bars.length - 1)];
      for (const bar of bars) bar.tabIndex = bar === next ? 0 : -1;
      next.focus();
    });
  }
}

const viewer = document.getElementById("viewer");
let shown = null;

function neighbour(step) {
  const all = [...shown.parentElement.closest(".bars, .strip-of").querySelectorAll(".bar-of, .still")];
  return all[all.indexOf(shown) + step];
}

function show(one) {
  shown?.removeAttribute("aria-current");
  shown = one;
  one.setAttribute("aria-current", "true");
  const source = one.matches(".still") ? one : document.getElementById(one.dataset.picture ?? "");
  const picture = source?.querySelector("img");
  const large = document.getElementById("viewer-picture");
  const box = viewer.querySelector(".box-of");
  large.hidden = box.hidden = !picture;
  viewer.querySelector(".frame .none").hidden = Boolean(picture);
  if (picture) [large.src, large.alt] = [picture.src, picture.alt];
  else large.removeAttribute("src");
  box.hidden ||= !one.dataset.box;
  if (one.dataset.box) {
    const [left, top, width, height] = one.dataset.box.split(" ");
    Object.assign(box.style, { left: left + "%", top: top + "%", width: width + "%", height: height + "%" });
  }
  box.style.setProperty("--tone", getComputedStyle(one).getPropertyValue("--tone"));
  document.getElementById("viewer-title").textContent = one.dataset.title;
  document.getElementById("viewer-words").textContent = one.dataset.words;
  document.getElementById("viewer-evidence").textContent = one.dataset.evidence;
  document.getElementById("viewer-back").disabled = !neighbour(-1);
  document.getElementById("viewer-on").disabled = !neighbour(1);
  if (!viewer.open) viewer.showModal();
}

function turn(step) {
  const next = neighbour(step);
  if (next) show(next);
}

for (const one of document.querySelectorAll(".bar-of, .still")) one.addEventListener("click", () => show(one));
document.getElementById("viewer-back").addEventListener("click", () => turn(-1));
document.getElementById("viewer-on").addEventListener("click", () => turn(1));
document.getElementById("viewer-close").addEventListener("click", () => viewer.close());
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") turn(-1);
  else if (event.key === "ArrowRight") turn(1);
});
viewer.addEventListener("close", () => {
  shown?.removeAttribute("aria-current");
  shown?.focus();
});
