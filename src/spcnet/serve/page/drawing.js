// What is drawn over a picture: skeletons, heatmaps, the choice of levels.
// Points are pixels of the picture, whose top left pixel has its centre at (0, 0).

const COLOURS = { left: "#e69f00", right: "#56b4e9", centre: "#f5f5f5" };
const OUTLINE = "#141414";
const SURE = 0.5; // a joint of this score is drawn at full opacity
const FAINT = 0.12;
const THICKNESS = 0.014; // of a limb, as a share of the person's size, within:
const THINNEST_IN_PICTURE = 0.002;
const THINNEST_ON_PERSON = 0.03;
const THICKEST_IN_PICTURE = 0.012;
const DOT = 1.9; // width of a joint over that of a limb
const EDGE = 0.25;
// Their joints lie close together, and are drawn at half the width.
const FACE = new Set(["nose", "left_eye", "right_eye", "left_ear", "right_ear"]);
const FACE_WIDTH = 0.5;

// Okabe and Ito's, without the two of the sides; coarsest level first.
export const LEVEL_COLOURS = ["#d55e00", "#f0e442", "#009e73", "#0072b2", "#cc79a7"];
const LEVEL_OPACITY = 0.8;
const LEAST_CHOICE = 0.1; // by which a level's share has to exceed its mean somewhere to be shown
const FULL_CHOICE = 0.4; // from which it is drawn at full opacity
const RAMP = [[68, 3, 156], [139, 10, 165], [204, 71, 120], [248, 149, 64], [240, 249, 33]];

const opacity = (score) => FAINT + (1 - FAINT) * Math.min(1, Math.max(0, score / SURE));

/** A limb that joins the two sides, or leaves the middle, belongs to the side it reaches. */
function limbSide(sides, [a, b]) {
  const reached = new Set([sides[a], sides[b]].filter((side) => side !== "centre"));
  return reached.size === 1 ? [...reached][0] : "centre";
}

/** Width of a limb in pixels of the picture: by the person's size, within what can be seen. */
export function thickness(keypoints, width, height) {
  const span = (values) => Math.max(...values) - Math.min(...values);
  const extent = Math.max(span(keypoints.map((k) => k.x)), span(keypoints.map((k) => k.y)));
  const longest = Math.max(width, height);
  const thinnest = Math.min(THINNEST_IN_PICTURE * longest, THINNEST_ON_PERSON * extent);
  const thickest = THICKEST_IN_PICTURE * longest;
  return Math.max(1, Math.min(Math.max(THICKNESS * extent, thinnest), thickest));
}

/** Draw one person's skeleton, the chosen joint (an index, or null) larger than the others. */
export function drawSkeleton(context, keypoints, skeleton, size, chosen = null, strength = 1) {
  const wide = thickness(keypoints, size.width, size.height);
  const edge = Math.max(1, EDGE * wide);
  const narrow = (...joints) => (joints.every((k) => FACE.has(k.name)) ? FACE_WIDTH : 1);
  const line = (a, b, colour, alpha) => {
    context.globalAlpha = strength * alpha;
    for (const [extra, paint] of [[2 * edge, OUTLINE], [0, colour]]) {
      context.strokeStyle = paint;
      context.lineWidth = narrow(a, b) * wide + extra;
      context.beginPath();
      context.moveTo(a.x + 0.5, a.y + 0.5);
      context.lineTo(b.x + 0.5, b.y + 0.5);
      context.stroke();
    }
  };
  const dot = (point, radius, colour, alpha) => {
    context.globalAlpha = strength * alpha;
    for (const [extra, paint] of [[edge, OUTLINE], [0, colour]]) {
      context.fillStyle = paint;
      context.beginPath();
      context.arc(point.x + 0.5, point.y + 0.5, radius + extra, 0, 2 * Math.PI);
      context.fill();
    }
  };
  context.save();
  context.lineCap = "round";
  const weakest = ([a, b]) => Math.min(keypoints[a].score, keypoints[b].score);
  // Faint limbs first, so that sure ones lie on top.
  for (const limb of [...skeleton.limbs].sort((a, b) => weakest(a) - weakest(b))) {
    const [a, b] = limb.map((joint) => keypoints[joint]);
    line(a, b, COLOURS[limbSide(skeleton.sides, limb)], opacity(weakest(limb)));
  }
  const order = keypoints.map((_, joint) => joint);
  order.sort((a, b) => keypoints[a].score - keypoints[b].score);
  for (const joint of order) {
    const { score } = keypoints[joint];
    const radius = (narrow(keypoints[joint]) * DOT * wide) / 2;
    dot(keypoints[joint], radius, COLOURS[skeleton.sides[joint]], opacity(score));
  }
  if (chosen !== null) {
    dot(keypoints[chosen], 2 * wide, "#ffffff", 1);
    dot(keypoints[chosen], 1.2 * wide, COLOURS[skeleton.sides[chosen]], 1);
  }
  context.restore();
}

/** Draw the frame x0, y0, x1, y1 about one person. */
export function drawBox(context, [x0, y0, x1, y1], size) {
  const wide = Math.max(size.width, size.height) / 400;
  context.save();
  context.lineWidth = wide;
  for (const [colour, shift] of [["#141414", 3.5], ["#ffffff", 0]]) {
    context.setLineDash([4 * wide, 3 * wide]);
    context.lineDashOffset = shift * wide;
    context.strokeStyle = colour;
    context.strokeRect(x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0);
  }
  context.restore();
}

/** The bytes of a data URI. */
export const bytesOf = (uri) =>
  Uint8Array.from(atob(uri.split(",")[1]), (letter) => letter.charCodeAt(0));

/** The values of stacked maps, in 0..1: one Float32Array per map, and their means. */
export async function readMaps(maps) {
  if (!maps) return null;
  const bitmap = await createImageBitmap(new Blob([bytesOf(maps.png)], { type: "image/png" }));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const cells = maps.width * maps.height;
  const values = Array.from({ length: maps.count }, (_, n) =>
    Float32Array.from({ length: cells }, (_, cell) => data[4 * (n * cells + cell)] / 255));
  const means = values.map((map) => map.reduce((sum, value) => sum + value, 0) / cells);
  return { ...maps, values, means };
}

/** The heatmaps of all joints, or of the chosen one, over a picture that was dimmed. */
export function drawHeatmaps(context, maps, chosen = null) {
  const shown = chosen === null ? maps.values : [maps.values[chosen]];
  // Square roots, so that a doubtful joint, whose map is low and wide, is seen too.
  drawCells(context, maps, true, (cell) => {
    const strength = Math.sqrt(Math.max(...shown.map((map) => map[cell])));
    const place = strength * (RAMP.length - 1);
    const low = Math.min(Math.floor(place), RAMP.length - 2);
    const colour = RAMP[low].map((from, c) => from + (place - low) * (RAMP[low + 1][c] - from));
    return [...colour, 255 * Math.min(1, 1.1 * strength)];
  });
}

/** Whether the network chooses between levels by the place, so that a drawing says something. */
export const choosesLevels = (maps) => maps.values.some((map, level) =>
  map.some((value) => value - maps.means[level] > LEAST_CHOICE));

/** The level that each cell takes more of than the others do: opacity grows with how much more. */
export function drawLevels(context, maps) {
  const colours = LEVEL_COLOURS.map((hex) =>
    [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));
  drawCells(context, maps, false, (cell) => {
    const more = maps.values.map((map, level) => map[cell] - maps.means[level]);
    const most = more.indexOf(Math.max(...more));
    return [...colours[most], 255 * LEVEL_OPACITY * Math.min(1, more[most] / FULL_CHOICE)];
  });
}

/** Paint a map's cells, an RGBA each, over the region of the picture that they lie in. */
function drawCells(context, maps, smooth, paint) {
  const cells = new ImageData(maps.width, maps.height);
  for (let cell = 0; cell < maps.width * maps.height; cell += 1) {
    cells.data.set(paint(cell), 4 * cell);
  }
  const small = new OffscreenCanvas(maps.width, maps.height);
  small.getContext("2d").putImageData(cells, 0, 0);
  const [x0, y0, x1, y1] = maps.region;
  context.save();
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0);
  context.restore();
}
