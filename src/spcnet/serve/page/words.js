// What the page says.

export const NOTHING = "No photo yet.";
export const LOOKING = "Looking for the joints …";
export const SENDING = "Sending the video …";
export const FOLLOWING = "Following people through the video …";
export const STOPPED = "Stopped.";
export const STEP_BACK = "Step back until the whole body is in view.";
export const FRAMING = "Drag a frame around one person. By keyboard, arrow keys move it, with Shift " +
  "change its size, Enter looks into it, and Escape leaves it.";
export const SMALL_FRAME = "That frame is too small to hold a person.";
export const NO_FILE = "That was no file. Save the picture first, then drop it here.";
export const NO_CLIPBOARD = "There is no picture on the clipboard.";
export const NO_CAMERA = "No camera could be opened.";
export const CAMERA_REFUSED =
  "The camera was not allowed. The browser's settings for this page can change that.";
export const CAMERA_FORBIDDEN = "The browser gives the camera only to pages of this machine " +
  "(127.0.0.1, localhost) or over https.";
export const NO_VIDEOS = "This server takes no videos.";
export const NO_ANSWER = "The server does not answer. Is it still running? Try again when it is.";
export const LARGE_PICTURE = "This browser cannot make a picture as large as this one.";
export const NOBODY = "The photo, in which no person was found.";

export const readable = (name) => name.replaceAll("_", " ");
export const two = (score) => score.toFixed(2);
export const sentence = (text) =>
  text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
const counted = (count, thing) => `${count} ${count === 1 ? thing : `${thing}s`}`;

export const tooLarge = (size, most) => `This file has ${(size / 1e6).toFixed(1)} MB; at most ` +
  `${most} MB are taken. Reduce it first.`;

export const limits = ({ megabytes, megapixels, video_seconds: seconds }) =>
  `JPEG, PNG, WebP, TIFF, BMP or GIF, up to ${megabytes} MB and ${megapixels} megapixels` +
  (seconds ? `; videos up to ${megabytes} MB and ${seconds} seconds.` : ".");

export function found(people, seconds, seen) {
  const joints = people.length && people[0].keypoints.length;
  const text = {
    0: "No person found. If somebody is there, frame them.",
    1: `${joints} joints, mean score ${two(people[0]?.score ?? 0)}, in ${seconds} s.`,
  }[people.length] ?? `${people.length} people, ${joints} joints each, in ${seconds} s.`;
  return text + (seen ? "" : " This browser cannot show the picture itself.");
}

export const followed = (frames, people, fault) =>
  `${counted(frames, "frame")}, ${people === 1 ? "1 person" : `${people || "no"} people`}.` +
  (fault ? ` The file is not whole: ${fault}.` : "");

export const far = (done, total, left) => (total
  ? `${done} of ${counted(total, "frame")}, about ${Math.max(1, Math.round(left))} s left`
  : counted(done, "frame"));

export const described = (people) => (people.length
  ? `The photo with ${counted(people.length, "skeleton")} of ${people[0].keypoints.length} ` +
    "joints. The lists have each of them."
  : NOBODY);

export const frame = ([x0, y0, x1, y1]) => `Frame from ${x0}, ${y0} to ${x1}, ${y1}.`;
export const person = (number, score) => `Person ${number}${score ? ` · ${two(score)}` : ""}`;
export const tip = ({ name, score }) => `${readable(name)} ${two(score)}`;
export const level = (n, count, share) =>
  ` level ${count - n}${{ 0: ", coarsest", [count - 1]: ", finest" }[n] ?? ""}: ` +
  `${Math.round(100 * share)} %`;
