// Follows a class and resumes: node subscriber.mjs URL CLASS CURSOR_FILE
//
// Prints each event as a line of JSON. The cursor file says how far it came: after a lost
// connection, a restart of the relay or of this program it continues there, without a gap and
// without a repeat. Without the file it starts with the events that come from now on. It needs
// Node.js 18 and nothing else.

import { readFile, rename, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const [url, className, path] = process.argv.slice(2);
// The relay sends something every 25 s: after so many milliseconds without, it is gone.
const SILENCE = 60_000;

/** Yields the frames of one connection, until it is lost. */
async function* frames(parameters) {
  const connection = new AbortController();
  const silence = setTimeout(() => connection.abort(new Error("the relay is silent")), SILENCE);
  try {
    const query = new URLSearchParams(parameters);
    const answer = await fetch(`${url}/api/class/stream?${query}`, { signal: connection.signal });
    if (!answer.ok) {
      const error = new Error(`${answer.status}: ${await answer.text()}`);
      throw Object.assign(error, { final: answer.status < 500 });
    }
    let rest = "";
    for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
      silence.refresh();
      const lines = (rest + part).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data: ")) yield JSON.parse(line.slice("data: ".length));
      }
    }
  } finally {
    clearTimeout(silence);
  }
}

async function follow(parameters) {
  for await (const frame of frames(parameters)) {
    if (frame.type === "progress") {
      for (const event of frame.events) console.log(JSON.stringify(event));
    } else if (frame.type === "reset") {
      // A program that keeps state reads /api/class/summary here, and goes on from its cursor.
      console.error(`reset (${frame.reason}): events may be missing`);
    }
    if (frame.cursor) {
      // Renamed into place: a crash leaves the old cursor or the new one. A program that must not
      // repeat the last frame after a crash stores cursor and results in one transaction.
      await writeFile(`${path}.new`, frame.cursor);
      await rename(`${path}.new`, path);
    }
  }
}

for (;;) {
  const cursor = await readFile(path, "utf8").catch(() => "");
  try {
    await follow({ class: className, ...(cursor && { cursor: cursor.trim() }) });
  } catch (error) {
    if (error.final) throw error; // The relay will not change its mind.
    console.error(`connecting again: ${error.cause ?? error}`);
  }
  await sleep(100 + Math.random() * 1900); // So that not all subscribers come back at once.
}
