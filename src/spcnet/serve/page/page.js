// The page: a photo or a short video comes in by file, drop, paste or camera, goes to the engine,
// and its answer is drawn and listed. Nothing is loaded from or sent to anywhere else.

import { LEVEL_COLOURS, choosesLevels, drawBox, drawHeatmaps, drawLevels, drawSkeleton, readMaps,
  thickness } from "./drawing.js";
import { Refused, engine } from "./engine-service.js";
import { anglesCsv, anglesOf, jointsCsv, peopleOf } from "./tables.js";
import * as words from "./words.js";

const LONGEST_SIDE = 2000; // pixels of the canvas that is shown; what is saved has all of them
const UNSURE = 0.3; // a joint below this score is more often wrong than right
const REACH = 28; // CSS pixels about a joint in which pointing at it counts
const SMALLEST = 8; // pixels of a frame's side
const OTHERS = 0.45; // opacity of those whose joints are not listed
const STEPS = 40; // of the keyboard from one side of the picture to the other
const PICTURES = "image/*,.tif,.tiff";
const VIDEO = /\.(mp4|m4v|mov|mkv|webm|avi|ts)$/i; // names of files that say no type

const $ = (id) => document.getElementById(id);
const find = (selector) => document.querySelector(selector);
const make = (name, values) => Object.assign(document.createElement(name), values);
const canvas = $("canvas");

const asking = engine.describe();
let service = null; // what it says
let photo = null; // { file, name, bitmap or null, and of a video the pictures of its frames }
let answer = null; // { content, image, people (of the image), numbers, box, and a video's frames }
let who = null; // number of the person whose joints are listed
let chosen = null; // index of the joint that is pointed at
let box = null; // the frame about one person, if one was drawn
let corner = null; // where a frame was begun
let running = null; // AbortController of the request under way
let stream = null; // of the camera
let at = 0; // number of the frame that is shown
let playing = false;
let turns = 0; // files and cameras that came in: the last one counts, however long each takes

const say = (text) => { $("status").textContent = text; };
const complain = (text) => { $("alert").textContent = text; };
const listed = () => answer?.people.find(({ number }) => number === who) ?? null;

// --- from a file to an answer ------------------------------------------------------------------

async function take(file, name = file.name) {
  complain("");
  const { megabytes, video_seconds: seconds } = service?.limits ?? { megabytes: Infinity };
  if (file.size > megabytes * 1e6) {
    complain(words.tooLarge(file.size, megabytes));
    return;
  }
  const moving = file.type.startsWith("video/") || VIDEO.test(name);
  if (moving && seconds === 0) {
    complain(words.NO_VIDEOS);
    return;
  }
  const turn = turns += 1;
  closeCamera();
  stopAsking();
  const taken = { file, name, bitmap: null, pictures: moving ? [] : null };
  if (!moving) {
    try {
      taken.bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    } catch {
      // A TIFF, or no picture at all: the service will say.
    }
  }
  if (turn !== turns) return;
  [photo, answer, who, box] = [taken, null, null, null];
  await (moving ? follow() : ask());
}

/** Have the engine work on the photo; its answer is shown unless something else came meanwhile. */
async function request(text, work) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const asked = photo;
  setChosen(null);
  showBusy(true);
  say(text);
  const began = performance.now();
  try {
    service = await asking.catch(engine.describe);
    const done = await work(signal);
    if (asked !== photo || signal.aborted) return;
    answer = { box, ...done };
    who = answer.numbers[0] ?? null;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    say(answer.frames ? words.followed(answer.frames.length, answer.numbers.length, answer.fault)
      : words.found(answer.people, seconds, photo.bitmap));
    showAnswer();
  } catch (error) {
    if (error.name === "AbortError") return;
    say("");
    complain(error instanceof Refused ? words.sentence(error.message) : words.NO_ANSWER);
    if (answer) box = answer.box;
    else showNothing();
  } finally {
    if (!signal.aborted) showBusy(false);
  }
}

const ask = () => request(words.LOOKING, async (signal) => {
  const content = await engine.estimate(photo.file, { boxes: box && [box], people: "all", signal });
  const [image] = content.images;
  const people = await Promise.all(peopleOf(content, image).map(async (person) => ({
    ...person,
    heatmaps: await readMaps(person.heatmaps),
    attention: await readMaps(person.attention),
  })));
  return { content, image, people, numbers: people.map(({ number }) => number) };
});

const follow = () => request(words.SENDING, async (signal) => {
  const { pictures, file } = photo;
  let began = null;
  const progress = async ({ width, height, total, picture }) => {
    pictures.push(picture);
    if (began === null) {
      began = performance.now();
      fit({ width, height });
      say(words.FOLLOWING);
    }
    const done = pictures.length;
    const left = (performance.now() - began) / 1000 / done * (total - done);
    Object.assign(find("#far progress"), total ? { max: total, value: done } : {});
    find("#far p").textContent = words.far(done, total, left);
    const bitmap = await createImageBitmap(picture);
    if (photo?.pictures !== pictures || answer) return;
    photo.bitmap = bitmap;
    draw();
  };
  const { result, fault } = await engine.video(file, { people: "all", signal, progress });
  const numbers = [...new Set(result.annotations.map((row) => row.track_id))].sort((a, b) => a - b);
  return { content: result, fault, frames: result.images, numbers, ...frame(result, 0) };
});

const frame = (content, n) =>
  ({ image: content.images[n], people: peopleOf(content, content.images[n]) });

/** Give up the request under way, and the frame that it was for. */
function stopAsking() {
  running?.abort();
  running = null;
  playing = false;
  showBusy(false);
  box = answer?.box ?? null;
  draw();
}

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
  const moving = Boolean(photo?.pictures);
  if (busy) {
    if (!answer) {
      $("panel").hidden = true;
      $("player").hidden = true;
      fit(photo.bitmap ?? { width: 640, height: 420 });
      find("#far progress").removeAttribute("value");
      find("#far p").textContent = "";
    }
    show("result");
    draw();
  }
  $("busy").hidden = !busy || moving;
  $("far").hidden = !busy || !moving;
  find("[data-do=frame]").hidden = moving;
  canvas.setAttribute("aria-busy", String(busy));
}

function showAnswer() {
  const { image, people, numbers, frames } = answer;
  fit(image);
  $("panel").hidden = !numbers.length;
  $("player").hidden = !frames;
  find("[data-do=whole]").hidden = !box;
  document.body.classList.toggle("moving", Boolean(frames));
  $("people").hidden = numbers.length < 2;
  $("people").replaceChildren($("people").firstElementChild, ...numbers.map((number) => {
    const label = make("label");
    const score = people.find((person) => person.number === number)?.score;
    label.append(make("input", { type: "radio", name: "person", value: number }),
      make("span", { textContent: words.person(number, !frames && score) }));
    return label;
  }));
  if (frames) $("time").max = frames.length - 1;
  setListed(who);
  if (frames) showFrame(0);
  canvas.setAttribute("aria-label", words.described(people));
  // The button that was pressed may be gone, and the keyboard's place with it.
  if (document.activeElement === document.body) {
    find("#result [data-do=choose]").focus({ preventScroll: true });
  }
}

/** List a person's joints and angles. */
function setListed(number) {
  who = number;
  for (const radio of $("people").querySelectorAll("input")) {
    radio.checked = Number(radio.value) === number;
  }
  const levels = listed()?.attention;
  $("levels-label").hidden = !levels || !choosesLevels(levels);
  if ($("levels-label").hidden) $("attention").checked = false;
  showLegend();
  fillLists();
  setChosen(focused());
  draw();
}

function fillLists() {
  const person = listed();
  jointButtons().forEach((button, n) => {
    const score = person?.keypoints[n].score ?? null;
    const bar = button.querySelector(".bar");
    bar.style.setProperty("--share", score ?? 0);
    bar.classList.toggle("unsure", score < UNSURE);
    button.querySelector(".value").textContent = score === null ? "–" : words.two(score);
  });
  const cell = (name, textContent) => make(name, { textContent });
  $("angles").replaceChildren(...anglesOf(person?.keypoints ?? []).map((angle) => {
    const row = make("tr");
    const [value, low, high] = [angle.degrees, angle.low, angle.high].map(Math.round);
    row.append(Object.assign(cell("th", words.readable(angle.name)), { scope: "row" }),
      cell("td", `${value}°`), cell("td", `${low} to ${high}`));
    return row;
  }));
}

function makeJoints({ joints, sides }) {
  $("joints").replaceChildren(...joints.map((joint, n) => {
    const button = make("button", { type: "button", tabIndex: n === 0 ? 0 : -1 });
    button.append(make("i", { className: `dot ${sides[n]}` }),
      make("span", { textContent: words.readable(joint) }),
      make("i", { className: "bar" }), make("span", { className: "value" }));
    button.addEventListener("focus", () => setChosen(n));
    // Not pointerenter: that also comes when the list scrolls under a pointer at rest.
    button.addEventListener("pointermove", () => setChosen(n));
    button.addEventListener("pointerleave", () => setChosen(focused()));
    button.addEventListener("blur", () => setChosen(null));
    const item = make("li");
    item.append(button);
    return item;
  }));
}

const jointButtons = () => [...$("joints").querySelectorAll("button")];

/** The joint whose entry has the keyboard's focus, if any. */
function focused() {
  const place = jointButtons().indexOf(document.activeElement);
  return place < 0 ? null : place;
}

function setChosen(joint) {
  chosen = joint;
  jointButtons().forEach((button, n) => button.classList.toggle("on", n === joint));
  const tip = $("tip");
  const point = joint === null ? null : listed()?.keypoints[joint];
  tip.hidden = !point;
  if (point) {
    const { width, height } = answer.image;
    const [across, down] = [(point.x + 0.5) / width, (point.y + 0.5) / height]
      .map((share) => Math.min(1, Math.max(0, share)));
    tip.textContent = words.tip(point);
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
  const heat = $("heatmaps").checked && listed()?.heatmaps;
  const levels = $("attention").checked && listed()?.attention;
  if (heat || levels) {
    context.fillStyle = "#0c1016a6";
    context.fillRect(0, 0, size.width, size.height);
  }
  if (heat) drawHeatmaps(context, heat, pointer ? chosen : null);
  if (levels) drawLevels(context, levels);
  if ($("skeleton").checked) {
    const people = [...(answer?.people ?? [])].sort((a, b) => (a.number === who) - (b.number === who));
    for (const { number, keypoints } of people) {
      const mine = number === who || !pointer;
      drawSkeleton(context, keypoints, service.skeleton, size, mine && pointer ? chosen : null,
        mine ? 1 : OTHERS);
    }
  }
  if (box && pointer) drawBox(context, box, size);
}

// --- a video's time ----------------------------------------------------------------------------

async function showFrame(n) {
  at = n;
  const shown = answer;
  const bitmap = await createImageBitmap(photo.pictures[n]);
  if (at !== n || shown !== answer) return;
  photo.bitmap = bitmap;
  Object.assign(answer, frame(answer.content, n));
  $("time").value = n;
  const time = `${answer.image.time.toFixed(1)} s`;
  $("time").setAttribute("aria-valuetext", time);
  find("#player output").textContent = time;
  fillLists();
  setChosen(chosen);
}

async function play() {
  playing = !playing;
  const { frames } = answer;
  const first = at < frames.length - 1 ? at : 0;
  const began = performance.now() - 1000 * frames[first].time;
  const button = find("[data-do=play]");
  button.textContent = playing ? "Pause" : "Play";
  while (playing && answer?.frames === frames) {
    await new Promise(requestAnimationFrame);
    const now = (performance.now() - began) / 1000;
    const next = frames.findIndex(({ time }) => time > now);
    playing &&= next >= 0;
    await showFrame(next < 0 ? frames.length - 1 : Math.max(0, next - 1));
  }
  button.textContent = "Play";
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
  canvas.setAttribute("role", on ? "application" : "img"); // its keys are its own
  find("[data-do=frame]").setAttribute("aria-pressed", String(on));
  if (on) {
    const { width, height } = answer.image;
    box ??= [0.25 * width, 0.1 * height, 0.75 * width, 0.9 * height].map(Math.round);
    canvas.tabIndex = 0;
    canvas.focus({ preventScroll: true });
    canvas.scrollIntoView({ block: "nearest" });
    say(words.FRAMING);
  } else {
    canvas.removeAttribute("tabindex");
  }
  draw();
}

/** Leave the frame as it was. */
function leaveFrame() {
  box = answer.box;
  setFraming(false);
  find("[data-do=frame]").focus({ preventScroll: true });
  say(words.described(answer.people));
}

function askFrame() {
  corner = null;
  setFraming(false);
  const [x0, y0, x1, y1] = box;
  if (Math.min(x1 - x0, y1 - y0) < SMALLEST) {
    box = answer.box;
    say(words.SMALL_FRAME);
    draw();
    return;
  }
  find("[data-do=frame]").focus({ preventScroll: true });
  ask();
}

/** Move the frame by steps, or its lower right corner. */
function moveFrame(across, down, corner) {
  const { width, height } = answer.image;
  const step = Math.max(1, Math.round(Math.max(width, height) / STEPS));
  const [x0, y0, x1, y1] = box;
  const within = (value, low, high) => Math.min(high, Math.max(low, value));
  if (corner) {
    box = [x0, y0, within(x1 + step * across, x0 + SMALLEST, width - 1),
      within(y1 + step * down, y0 + SMALLEST, height - 1)];
  } else {
    const dx = within(step * across, -x0, width - 1 - x1);
    const dy = within(step * down, -y0, height - 1 - y1);
    box = [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
  }
  say(words.frame(box));
  draw();
}

/** The person and the joint that lie nearest to a pointer and within its reach, if any. */
function nearest(event) {
  const pointer = place(event);
  const { width, height } = answer.image;
  let best = null;
  for (const { number, keypoints } of answer.people) {
    const reach = Math.max(REACH * pointer.ratio, 2 * thickness(keypoints, width, height));
    keypoints.forEach(({ x, y }, joint) => {
      const away = Math.hypot(x - pointer.x, y - pointer.y);
      if (away <= Math.min(reach, best?.away ?? Infinity)) best = { number, joint, away };
    });
  }
  return best;
}

canvas.addEventListener("pointerdown", (event) => {
  if (!answer) return;
  if (framing()) {
    corner = place(event);
    canvas.setPointerCapture(event.pointerId);
    return;
  }
  const point = nearest(event);
  if (point && point.number !== who) setListed(point.number);
  setChosen(point?.joint ?? null); // a finger does not hover
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
  const point = nearest(event);
  canvas.classList.toggle("pointing", point !== null);
  const joint = point?.number === who ? point.joint : null;
  if (joint !== chosen) setChosen(joint);
});

canvas.addEventListener("pointerup", () => { if (corner) askFrame(); });
canvas.addEventListener("pointerleave", () => { if (!framing()) setChosen(focused()); });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.addEventListener("keydown", (event) => {
  if (!framing() || corner) return;
  if (event.key === "Enter") askFrame();
  else if (ARROWS[event.key]) moveFrame(...ARROWS[event.key], event.shiftKey);
  else return;
  event.preventDefault();
});

addEventListener("keydown", (event) => {
  if (event.key === "Escape" && framing() && !corner) leaveFrame();
});

$("joints").addEventListener("keydown", (event) => {
  const buttons = jointButtons();
  const from = focused();
  const to = { ArrowDown: from + 1, ArrowUp: from - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (from === null || to === undefined) return;
  event.preventDefault();
  const next = buttons[Math.min(buttons.length - 1, Math.max(0, to))];
  buttons.forEach((button) => { button.tabIndex = button === next ? 0 : -1; });
  next.focus();
});

// --- ways in -----------------------------------------------------------------------------------

/** Have a file chosen, or on a phone its camera opened. */
function pick(accept, camera = false) {
  $("file").accept = accept;
  $("file").toggleAttribute("capture", camera);
  $("file").click();
}

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
  else complain(words.NO_FILE);
});

addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) take(file, "pasted");
  else complain(words.NO_CLIPBOARD);
});

async function openCamera() {
  complain("");
  if (!navigator.mediaDevices) {
    complain(words.CAMERA_FORBIDDEN);
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
    complain(error.name === "NotAllowedError" ? words.CAMERA_REFUSED : words.NO_CAMERA);
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
  say(words.STEP_BACK);
  find("[data-do=shoot]").focus();
}

const stop = (ended) => ended.getTracks().forEach((track) => track.stop());

function closeCamera() {
  if (stream) stop(stream);
  stream = null;
}

/** Show the last answer again, or the beginning. */
function goBack(text) {
  if (answer) {
    show("result");
    $("panel").hidden = !answer.numbers.length;
    say("");
  } else {
    showNothing();
    say(text);
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
    const part = answer.frames ? `.frame${at}` : "";
    save(await whole.convertToBlob({ type: "image/png" }), `${part}.pose.png`);
  } catch {
    complain(words.LARGE_PICTURE);
  }
}

function saveJson() {
  const { content } = answer;
  const named = answer.frames ? {} : { file_name: photo.name };
  const images = content.images.map((image) => ({ ...image, ...named }));
  const annotations = content.annotations.map(({ heatmaps, attention, ...person }) => person);
  const text = JSON.stringify({ ...content, images, annotations }, null, 1) + "\n";
  save(new Blob([text], { type: "application/json" }), ".pose.json");
}

const saveCsv = (table, ending) =>
  save(new Blob([table(answer.content, photo.name)], { type: "text/csv" }), ending);

// --- wiring ------------------------------------------------------------------------------------

const ACTIONS = {
  choose: () => pick(service?.limits.video_seconds ? `${PICTURES},video/*` : PICTURES),
  snap: () => pick("image/*", true),
  record: () => pick("video/*", true),
  camera: openCamera,
  shoot,
  "leave-camera": () => { closeCamera(); goBack(words.NOTHING); },
  cancel: () => { stopAsking(); goBack(words.STOPPED); },
  play,
  "save-picture": savePicture,
  "save-json": saveJson,
  "save-joints": () => saveCsv(jointsCsv, ".pose.csv"),
  "save-angles": () => saveCsv(anglesCsv, ".pose.angles.csv"),
  frame: () => (framing() ? leaveFrame() : setFraming(true)),
  whole: () => { box = null; ask(); },
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) ACTIONS[button.dataset.do]();
});

$("people").addEventListener("change", (event) => setListed(Number(event.target.value)));
$("time").addEventListener("input", (event) => {
  playing = false;
  showFrame(Number(event.target.value));
});

function showLegend() {
  const levels = $("attention").checked ? listed()?.attention : null;
  $("levels-help").hidden = !levels;
  $("legend").replaceChildren(...(levels?.means ?? []).map((share, n) => {
    const item = make("li");
    const dot = make("i", { className: "dot" });
    dot.style.background = LEVEL_COLOURS[n];
    item.append(dot, words.level(n, levels.count, share));
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
asking.then((about) => {
  service = about;
  makeJoints(service.skeleton);
  document.body.classList.toggle("photos-only", !service.limits.video_seconds);
  $("limits").textContent = words.limits(service.limits);
  $("model").textContent = `Model: ${service.model.description}.`;
}).catch(() => complain(words.NO_ANSWER));
