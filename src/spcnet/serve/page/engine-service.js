// The engine of a page with a server behind it. An engine has three functions:
//   describe() -> what /v1/service answers: the model, its joints, and the limits;
//   estimate(image, { boxes, people, signal }) -> the result document of a picture's Blob;
//   video(file, { people, signal, progress }) -> { result, fault } of a video's, the document and
//     what is wrong with the file; progress({ width, height, total, picture }) is called with
//     every frame in turn: its picture as a Blob, and how many there are, or null.
// What it will not do is a Refused, with the reason in words.

import { bytesOf } from "./drawing.js";

export class Refused extends Error {}

async function send(address, fields, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
  const response = await fetch(address, { method: "POST", body: form, signal });
  if (!response.ok) throw new Refused((await response.json()).error.message);
  return response;
}

let about = null;

function describe() {
  about ??= fetch("v1/service").then((response) => response.json()).catch((error) => {
    about = null; // to be asked again
    throw error;
  });
  return about;
}

async function estimate(image, { boxes, people = "all", signal }) {
  const attention = (await describe()).model.levels > 0;
  const wanted = boxes ? { boxes: JSON.stringify(boxes) } : { people };
  const response = await send("v1/poses", { image, heatmaps: true, attention, ...wanted }, signal);
  return response.json();
}

async function video(file, { people = "all", signal, progress }) {
  const response = await send("v1/video", { video: file, people, pictures: true }, signal);
  let size = {};
  for await (const line of lines(response.body)) {
    if (line.error) throw new Refused(line.error.message);
    if (line.result) return line;
    if (line.video) size = { ...line.video, total: line.video.frames };
    if (line.frame) {
      const picture = new Blob([bytesOf(line.frame.picture)], { type: "image/jpeg" });
      progress({ ...size, picture });
    }
  }
  throw new Refused("the server stopped before the end of the video");
}

/** The values of a stream of lines of JSON. */
async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [];
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const [first, ...others] = read.value.split("\n");
    parts.push(first);
    for (const next of others) {
      yield JSON.parse(parts.join(""));
      parts = [next];
    }
  }
}

export const engine = { describe, estimate, video };
