// Rows of joints and of angles from a result document, as spcnet.tables and spcnet.angles make them.

const SIDES = ["left", "right"];
const sided = (names, of) => names.flatMap(([name, ...joints]) =>
  SIDES.map((side) => [`${side}_${name}`, joints.map((joint) => `${side}_${joint}`)]))
  .map(([name, joints]) => ({ name, joints, ...of }));

// Between two segments that meet in the middle joint, or of a segment to the vertical.
const ANGLES = [
  ...sided([["knee", "hip", "knee", "ankle"], ["hip", "shoulder", "hip", "knee"],
    ["elbow", "shoulder", "elbow", "wrist"], ["shoulder", "hip", "shoulder", "elbow"]]),
  { name: "trunk", joints: ["pelvis", "thorax"], rest: [0, -1] },
  ...sided([["thigh", "hip", "knee"], ["shank", "knee", "ankle"],
    ["upper_arm", "shoulder", "elbow"], ["forearm", "elbow", "wrist"]], { rest: [0, 1] }),
];
const MIDDLES = { pelvis: ["left_hip", "right_hip"], thorax: ["left_shoulder", "right_shoulder"] };
const TORSO = ["left_shoulder", "right_hip"];
const RIGHT = 0.2; // of the torso: a joint of score p is within that with probability p
const SUREST = 0.99;
const DEVIATIONS = 1.645;

/** Who is in an image of a document: number, keypoints (name, x, y, score), score, maps. */
export function peopleOf(document, image) {
  const names = document.categories[0].keypoints;
  return document.annotations.filter((row) => row.image_id === image.id).map((row, n) => ({
    number: row.track_id ?? n,
    score: row.score,
    heatmaps: row.heatmaps,
    attention: row.attention,
    keypoints: names.map((name, k) => ({
      name, x: row.keypoints[3 * k], y: row.keypoints[3 * k + 1], score: row.keypoint_scores[k],
    })),
  }));
}

const minus = (a, b) => [a.x - b.x, a.y - b.y];
const norm = ([x, y]) => Math.hypot(x, y);
const degrees = (radians) => (radians * 180) / Math.PI;
/** How far a vector turns, in radians, when its end moves by a pixel in x and in y. */
const pull = ([x, y]) => [-y / (x * x + y * y), x / (x * x + y * y)];

/** Degrees from one vector to another, counterclockwise as one looks; NaN where one is none. */
function turn([a, b], [c, d]) {
  if (!(norm([a, b]) && norm([c, d]))) return NaN;
  const angle = degrees(Math.atan2(-(a * d - b * c), a * c + b * d));
  return angle === -180 ? 180 : angle;
}

/** The angles that the joints give: name, degrees, low and high (nine in ten lie between), score. */
export function anglesOf(keypoints) {
  const points = Object.fromEntries(keypoints.map((joint) => [joint.name, joint]));
  for (const [name, pair] of Object.entries(MIDDLES)) {
    const [a, b] = pair.map((joint) => points[joint]);
    if (a && b && !points[name]) {
      points[name] = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, score: Math.min(a.score, b.score) };
    }
  }
  const [top, bottom] = TORSO.map((joint) => points[joint]);
  const torso = top && bottom ? norm(minus(top, bottom)) : NaN;
  const spread = ({ score }) => (RIGHT * torso) /
    Math.sqrt(-2 * Math.log1p(-Math.min(SUREST, Math.max(1e-3, score))));
  return ANGLES.filter(({ joints }) => joints.every((joint) => points[joint]))
    .map(({ name, joints, rest }) => {
      const of = joints.map((joint) => points[joint]);
      const [near, middle, far] = of;
      let [value, moves, ends] = [NaN, [], [-Infinity, Infinity]];
      if (rest) {
        const along = minus(middle, near);
        [value, moves] = [turn(rest, along), [pull(along), pull(along)]];
      } else {
        const [one, other] = [minus(near, middle), minus(far, middle)];
        const [a, c] = [pull(one), pull(other).map((part) => -part)];
        value = Math.abs(turn(one, other));
        [moves, ends] = [[a, [-a[0] - c[0], -a[1] - c[1]], c], [0, 180]];
      }
      const variance = moves.reduce((sum, move, n) => sum + (norm(move) * spread(of[n])) ** 2, 0);
      const reach = Math.min(DEVIATIONS * degrees(Math.sqrt(variance)), 180);
      const [low, high] = [Math.max(ends[0], value - reach), Math.min(ends[1], value + reach)];
      return { name, degrees: value, low, high, score: Math.min(...of.map((p) => p.score)) };
    });
}

const rounded = (value, digits) => (Number.isFinite(value) ? Number(value.toFixed(digits)) : "");

function* rows(document, source, cells) {
  for (const image of document.images) {
    for (const { number, keypoints } of peopleOf(document, image)) {
      const at = [source, image.frame_id ?? 0, image.time ?? 0, number];
      for (const row of cells(keypoints)) yield [...at, ...row];
    }
  }
}

const csv = (names, lines) => [["source", "frame", "time", "person", ...names], ...lines]
  .map((cells) => cells.map((cell) => (/[",\r\n]/.test(cell)
    ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",") + "\n").join("");

/** The table of a document's joints; `source` is the file's name. */
export const jointsCsv = (document, source) => csv(["joint", "x", "y", "score"],
  rows(document, source, (points) => points.map((p) => [p.name, p.x, p.y, p.score])));

/** The table of its angles. */
export const anglesCsv = (document, source) => csv(["angle", "degrees", "low", "high", "score"],
  rows(document, source, (points) => anglesOf(points).map((a) =>
    [a.name, rounded(a.degrees, 1), rounded(a.low, 1), rounded(a.high, 1), rounded(a.score, 4)])));
