// The page: a photo comes in by file, drop, paste or camera, goes to the service, and its answer
// is drawn. Nothing is loaded from or sent to anywhere else.

import { LEVEL_COLOURS, drawHeatmaps, drawLevels, drawSkeleton, readMaps, thickness }
  from "./drawing.js";

const LONGEST_SIDE = 2000; // pixels of the canvas that is shown; what is saved has all of them
const UNSURE = 0.3; // a joint below this score is more often wrong than right
const REACH = 28; // CSS pixels about a joint in which pointing at it counts

const $ = (id) => document.getElementById(id);
const canvas = $("canvas");

const asking = fetch("v1/service").then((response) => response.json());
let service = null; // what it says
let photo = null; // { file, name, bitmap or null }
let answer = null; // what /v1/poses said, its first person as drawn, and the maps as numbers
let chosen = null; // index of the joint that is pointed at
let box = null; // the frame about one person, if one was drawn
let corner = null; // where a frame was begun
let running = null; // AbortController of the request under way
let stream = null; // of the camera
let turns = 0; // photos and cameras that came in: the last one counts, however long each takes

// --- words -------------------------------------------------------------------------------------

const say = (text) => { $("status").textContent = text; };
const complain = (text) => { $("alert").textContent = text; };
const readable = (joint) => joint.replaceAll("_", " ");
const two = (score) => score.toFixed(2);

// --- from a photo to an answer -----------------------------------------------------------------

async function take(file, name = file.name) {
  complain("");
  const most = service?.limits.megabytes ?? Infinity;
  if (file.size > most * 1e6) {
    complain(`This file has ${(file.size / 1e6).toFixed(1)} MB; at most ${most} MB are taken. ` +
      "Reduce the picture first.");
    return;
  }
  const turn = turns += 1;
  closeCamera();
  stopAsking();
  const taken = { file, name, bitmap: null };
  try {
    taken.bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    // A TIFF, or no picture at all: the service will tell.
  }
  if (turn !== turns) return;
  [photo, answer, chosen, box] = [taken, null, null, null];
  await ask();
}

async function ask() {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const asked = photo;
  setChosen(null);
  showBusy(true);
  say("Looking for the joints …");
  const form = new FormData();
  form.append("image", photo.file, "photo");
  form.append("heatmaps", "true");
  if (box) form.append("boxes", JSON.stringify([box]));
  const began = performance.now();
  try {
    service = await asking; // whether there are levels, for whoever is faster than it
    if (service.model.levels) form.append("attention", "true");
    const response = await fetch("v1/poses", { method: "POST", body: form, signal });
    const content = await response.json();
    if (!response.ok) throw new Refused(content.error.message);
    const [found] = content.annotations;
    const person = found && { keypoints: namedPoints(content, found), score: found.score };
    const maps = found && {
      heatmaps: found.heatmaps && await readMaps(found.heatmaps),
      attention: found.attention && await readMaps(found.attention),
    };
    if (asked !== photo || signal.aborted) return;
    answer = { content, image: content.images[0], person, maps, box };
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    say((person
      ? `${person.keypoints.length} joints, mean score ${two(person.score)}, in ${seconds} s.`
      : "No person found. If somebody is there, frame them.") +
      (photo.bitmap ? "" : " This browser cannot show the picture itself."));
    showAnswer();
  } catch (error) {
    if (error.name === "AbortError") return;
    say("");
    complain(error instanceof Refused ? sentence(error.message)
      : "The server does not answer. Is it still running? Try again when it is.");
    if (answer) box = answer.box;
    else showNothing();
  } finally {
    if (!signal.aborted) showBusy(false);
  }
}

/** The joints of an annotation as objects of name, x, y and score. */
function namedPoints(content, { keypoints, keypoint_scores: scores }) {
  return content.categories[0].keypoints.map((name, n) => (
    { name, x: keypoints[3 * n], y: keypoints[3 * n + 1], score: scores[n] }));
}

/** Give up the request under way, and the frame that it was for. */
function stopAsking() {
  running?.abort();
  running = null;
  showBusy(false);
  box = answer?.box ?? null;
  draw();
}

class Refused extends Error {}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) +
  (/[.!?]$/.test(text) ? "" : ".");

// --- what is shown -----------------------------------------------------------------------------

function show(part) {
  for (const id of ["empty", "camera", "result"]) $(id).hidden = id !== part;
  document.body.dataset.shows = part;
}

function showNothing() {
  photo = null;
  $("panel").hidden = true;
  setFraming(false);
  show("empty");
}

function showBusy(busy) {
  if (busy) {
    if (!answer) {
      $("panel").hidden = true;
      fit(photo.bitmap ?? { width: 640, height: 420 });
    }
    show("result");
    draw();
  }
  $("busy").hidden = !busy;
  canvas.setAttribute("aria-busy", String(busy));
}

function showAnswer() {
  fit(answer.image);
  const { person, maps } = answer;
  $("panel").hidden = !person;
  document.querySelector("[data-do=whole]").hidden = !box;
  if (person) {
    $("levels-label").hidden = !maps.attention;
    listJoints();
  }
  draw();
  canvas.setAttribute("aria-label", person
    ? `The photo with a skeleton of ${person.keypoints.length} joints, mean score ` +
      `${two(person.score)}. The list of joints has each of them.`
    : "The photo, in which no person was found.");
  // The button that was pressed may be gone, and the keyboard's place with it.
  if (document.activeElement === document.body) {
    document.querySelector("#result [data-do=choose]").focus({ preventScroll: true });
  }
}

function listJoints() {
  const { sides } = service.skeleton;
  $("joints").replaceChildren(...answer.person.keypoints.map((joint, n) => {
    const dot = Object.assign(document.createElement("i"), { className: `dot ${sides[n]}` });
    const name = Object.assign(document.createElement("span"), {
      textContent: readable(joint.name),
    });
    const bar = Object.assign(document.createElement("i"), { className: "bar" });
    bar.style.setProperty("--share", joint.score);
    bar.classList.toggle("unsure", joint.score < UNSURE);
    const value = Object.assign(document.createElement("span"), {
      className: "value", textContent: two(joint.score),
    });
    const button = Object.assign(document.createElement("button"), {
      type: "button", tabIndex: n === 0 ? 0 : -1,
    });
    button.append(dot, name, bar, value);
    button.addEventListener("focus", () => setChosen(n));
    // Not pointerenter: that also comes when the list scrolls under a pointer at rest.
    button.addEventListener("pointermove", () => setChosen(n));
    button.addEventListener("pointerleave", () => setChosen(focused()));
    button.addEventListener("blur", () => setChosen(null));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

const jointButtons = () => [...$("joints").querySelectorAll("button")];

/** The joint whose entry has the keyboard's focus, if any. */
function focused() {
  const at = jointButtons().indexOf(document.activeElement);
  return at < 0 ? null : at;
}

function setChosen(joint) {
  if (chosen === joint) return;
  chosen = joint;
  jointButtons().forEach((button, n) => button.classList.toggle("on", n === joint));
  const tip = $("tip");
  tip.hidden = joint === null || !answer;
  if (!tip.hidden) {
    const point = answer.person.keypoints[joint];
    const { width, height } = answer.image;
    const [across, down] = [(point.x + 0.5) / width, (point.y + 0.5) / height]
      .map((share) => Math.min(1, Math.max(0, share)));
    tip.textContent = `${readable(point.name)} ${two(point.score)}`;
    tip.classList.toggle("below", down < 0.12);
    const half = tip.offsetWidth / 2 / $("frame").offsetWidth; // not to leave the picture
    tip.style.left = `${100 * Math.min(1 - half, Math.max(half, across))}%`;
    tip.style.top = `${100 * down}%`;
  }
  draw();
}

/** Give the canvas the form of a picture. */
function fit({ width, height }) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
}

function draw() {
  if (photo) paint(canvas);
}

/** Draw everything that is switched on, at the size of a canvas. */
function paint(target, { pointer = true } = {}) {
  const context = target.getContext("2d");
  const size = answer?.image ?? photo.bitmap ?? target;
  context.resetTransform();
  context.fillStyle = "#2a323a"; // under a picture that the browser cannot show, such as a TIFF
  context.fillRect(0, 0, target.width, target.height);
  context.scale(target.width / size.width, target.height / size.height);
  if (photo.bitmap) context.drawImage(photo.bitmap, 0, 0, size.width, size.height);
  if (!answer?.person) {
    if (box && pointer) drawBox(context, box, size);
    return;
  }
  const { maps, person } = answer;
  const joint = pointer ? chosen : null;
  const heat = $("heatmaps").checked && maps.heatmaps;
  const levels = $("attention").checked && maps.attention;
  if (heat || levels) {
    context.fillStyle = "#0c1016a6";
    context.fillRect(0, 0, size.width, size.height);
  }
  if (heat) drawHeatmaps(context, maps.heatmaps, joint);
  if (levels) drawLevels(context, maps.attention);
  if ($("skeleton").checked) drawSkeleton(context, person, service.skeleton, size, joint);
  if (box && pointer) drawBox(context, box, size);
}

function drawBox(context, [x0, y0, x1, y1], size) {
  const wide = Math.max(size.width, size.height) / 400;
  context.lineWidth = wide;
  context.setLineDash([4 * wide, 3 * wide]);
  context.strokeStyle = "#ffffff";
  context.strokeRect(x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0);
  context.setLineDash([]);
}

// --- pointing and framing ----------------------------------------------------------------------

/** A pointer's place in pixels of the picture, and how many of them a CSS pixel is. */
function place(event) {
  const shown = canvas.getBoundingClientRect();
  const { width, height } = answer.image;
  const ratio = width / shown.width;
  return {
    x: Math.min(width - 1, Math.max(0, (event.clientX - shown.left) * ratio - 0.5)),
    y: Math.min(height - 1, Math.max(0, (event.clientY - shown.top) * ratio - 0.5)),
    ratio,
  };
}

const framing = () => canvas.classList.contains("framing");

function setFraming(on) {
  canvas.classList.toggle("framing", on);
  document.querySelector("[data-do=frame]").setAttribute("aria-pressed", String(on));
  if (on) say("Drag a frame around one person, from corner to corner.");
}

function nearest(event) {
  if (!answer.person) return null;
  const at = place(event);
  const distances = answer.person.keypoints.map((k) => Math.hypot(k.x - at.x, k.y - at.y));
  const best = distances.indexOf(Math.min(...distances));
  const { width, height } = answer.image;
  const reach = Math.max(REACH * at.ratio, 2 * thickness(answer.person.keypoints, width, height));
  return distances[best] <= reach ? best : null;
}

canvas.addEventListener("pointerdown", (event) => {
  if (!answer) return;
  if (framing()) {
    corner = place(event);
    canvas.setPointerCapture(event.pointerId);
  } else {
    setChosen(nearest(event)); // a finger does not hover
  }
});

canvas.addEventListener("pointermove", (event) => {
  if (!answer) return;
  if (framing()) {
    if (!corner) return;
    const { x, y } = place(event);
    box = [Math.min(x, corner.x), Math.min(y, corner.y), Math.max(x, corner.x),
      Math.max(y, corner.y)].map((side) => Math.round(side));
    draw();
    return;
  }
  const joint = nearest(event);
  canvas.classList.toggle("pointing", joint !== null);
  setChosen(joint);
});

canvas.addEventListener("pointerup", () => {
  if (!corner) return;
  corner = null;
  setFraming(false);
  const [x0, y0, x1, y1] = box ?? [0, 0, 0, 0];
  if (Math.min(x1 - x0, y1 - y0) < 8) {
    box = null;
    say("That frame is too small to hold a person.");
    draw();
    return;
  }
  ask();
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && framing() && !corner) setFraming(false);
});

canvas.addEventListener("pointerleave", () => { if (!framing()) setChosen(focused()); });

$("joints").addEventListener("keydown", (event) => {
  const buttons = jointButtons();
  const at = focused();
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (at === null || to === undefined) return;
  event.preventDefault();
  const next = buttons[Math.min(buttons.length - 1, Math.max(0, to))];
  buttons.forEach((button) => { button.tabIndex = button === next ? 0 : -1; });
  next.focus();
});

// --- ways in -----------------------------------------------------------------------------------

$("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) take(file);
  event.target.value = ""; // so that the same file can be chosen again
});

addEventListener("dragover", (event) => {
  event.preventDefault();
  $("stage").classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("stage").classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) take(file);
  else complain("That was no file. Save the picture first, then drop it here.");
});

addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) take(file, "pasted");
  else complain("There is no picture on the clipboard.");
});

async function openCamera() {
  complain("");
  if (!navigator.mediaDevices) {
    complain("The browser gives the camera only to pages of this machine (127.0.0.1, localhost) " +
      "or over https.");
    return;
  }
  const turn = turns;
  let opened;
  try {
    opened = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: { ideal: "environment" }, width: { ideal: 1920 } },
    });
  } catch (error) {
    if (turn !== turns) return;
    complain(error.name === "NotAllowedError"
      ? "The camera was not allowed. The browser's settings for this page can change that."
      : "No camera could be opened.");
    return;
  }
  if (turn !== turns) { // a photo came, or the camera was asked for twice
    stop(opened);
    return;
  }
  turns += 1;
  closeCamera();
  stopAsking();
  stream = opened;
  $("video").srcObject = stream;
  $("panel").hidden = true;
  show("camera");
  say("Step back until the whole body is in view.");
  document.querySelector("[data-do=shoot]").focus();
}

const stop = (ended) => ended.getTracks().forEach((track) => track.stop());

function closeCamera() {
  if (stream) stop(stream);
  stream = null;
}

function leaveCamera() {
  closeCamera();
  if (answer) {
    show("result");
    $("panel").hidden = !answer.person;
    say("");
  } else {
    showNothing();
    say("No photo yet.");
  }
}

async function shoot() {
  const video = $("video");
  if (!video.videoWidth) return;
  const shot = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  shot.getContext("2d").drawImage(video, 0, 0);
  await take(await shot.convertToBlob({ type: "image/jpeg", quality: 0.95 }), "camera");
}

// --- ways out ----------------------------------------------------------------------------------

function save(blob, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = photo.name.replace(/\.[^.]*$/, "") + ending;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function savePicture() {
  const { width, height } = answer.image;
  try {
    const whole = new OffscreenCanvas(width, height);
    paint(whole, { pointer: false });
    save(await whole.convertToBlob({ type: "image/png" }), ".pose.png");
  } catch {
    complain("This browser cannot make a picture as large as this one.");
  }
}

function saveJson() {
  const images = [{ ...answer.image, file_name: photo.name }];
  const annotations = answer.content.annotations.map(
    ({ heatmaps, attention, ...person }) => person);
  const text = JSON.stringify({ ...answer.content, images, annotations }, null, 1) + "\n";
  save(new Blob([text], { type: "application/json" }), ".pose.json");
}

// --- wiring ------------------------------------------------------------------------------------

const ACTIONS = {
  choose: () => $("file").click(),
  camera: openCamera,
  shoot,
  "leave-camera": leaveCamera,
  "save-picture": savePicture,
  "save-json": saveJson,
  frame: () => setFraming(!framing()),
  whole: () => { box = null; ask(); },
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) ACTIONS[button.dataset.do]();
});

function showLegend() {
  const levels = $("attention").checked ? answer.maps.attention.count : 0;
  $("legend").hidden = !levels;
  $("legend").replaceChildren(...Array.from({ length: levels }, (_, n) => {
    const item = document.createElement("li");
    const dot = Object.assign(document.createElement("i"), { className: "dot" });
    dot.style.background = LEVEL_COLOURS[n];
    const note = { 0: ", coarsest", [levels - 1]: ", finest" }[n] ?? "";
    item.append(dot, ` level ${levels - n}${note}`);
    return item;
  }));
}

for (const id of ["skeleton", "heatmaps", "attention"]) {
  $(id).addEventListener("change", (event) => {
    // Two colourings over each other would say nothing.
    if (event.target.checked && id === "heatmaps") $("attention").checked = false;
    if (event.target.checked && id === "attention") $("heatmaps").checked = false;
    showLegend();
    draw();
  });
}

show("empty");
try {
  service = await asking;
  const { megabytes, megapixels } = service.limits;
  $("limits").textContent = `JPEG, PNG, WebP, TIFF, BMP or GIF, up to ${megabytes} MB and ` +
    `${megapixels} megapixels.`;
  $("model").textContent = `Model: ${service.model.description}.`;
} catch {
  complain("The server does not answer. Is it still running? Load the page again when it is.");
}
