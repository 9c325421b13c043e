// Using up what is shared: each attempt succeeds only if it gets more than the manifest gives it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { Held } from "./attempt.mjs";

export const ALL = [];
const PIDS = 32, OPEN_FILES = 128, DISK_BYTES = 16 << 20, LOG_BYTES_PER_SECOND = 256 << 10; // as flodea.yaml has them

const attempt = (name, run, { outside = true } = {}) => ALL.push({ name, run, outside });

attempt("fork bomb", async () => {
  const children = [];
  try {
    while (children.length <= PIDS) {
      const child = spawn("/usr/bin/cat", { stdio: ["pipe", "ignore", "ignore"] }); // until its input ends
      const error = await Promise.race([once(child, "spawn").then(() => null), once(child, "error").then(([e]) => e)]).catch((e) => e);
      if (error?.code === "EAGAIN") throw new Held(`EAGAIN after ${children.length} processes`);
      if (error) throw error;
      children.push(child);
    }
  } finally {
    await Promise.all(children.map((child) => (child.stdin.end(), once(child, "exit"))));
  }
  return `${children.length} processes of ${PIDS}`;
});

attempt("use up descriptors", () => {
  const held = [];
  try {
    while (held.length <= OPEN_FILES) held.push(fs.openSync("/dev/null"));
  } catch (error) {
    if (error.code !== "EMFILE") throw error;
    throw new Held(`EMFILE after ${held.length} descriptors`);
  } finally {
    held.forEach((fd) => fs.closeSync(fd));
  }
  return `${held.length} descriptors of ${OPEN_FILES}`;
});

attempt("fill the disk", () => {
  const path = join(homedir(), "filler"), block = Buffer.alloc(1 << 20, "x");
  const fd = fs.openSync(path, "w", 0o600);
  let written = 0;
  try {
    while (written <= 2 * DISK_BYTES) written += fs.writeSync(fd, block);
  } catch (error) {
    if (error.code !== "ENOSPC") throw error;
    throw new Held(`ENOSPC after ${written >> 20} MiB`);
  } finally {
    fs.closeSync(fd);
    fs.unlinkSync(path);
  }
  return `${written >> 20} MiB of ${DISK_BYTES >> 20}`;
});

attempt("flood the log", async () => {
  const line = "flood ".repeat(20) + "\n", total = 8 * LOG_BYTES_PER_SECOND, begin = performance.now();
  for (let sent = 0; sent < total; sent += line.length) {
    if (!process.stderr.write(line)) await once(process.stderr, "drain");
  }
  const seconds = (performance.now() - begin) / 1000;
  // Two seconds' worth may pass at once and the pipes hold some; the rest takes the time that its rate says.
  if (seconds >= 0.5 * (total / LOG_BYTES_PER_SECOND - 2)) throw new Held(`slowed to ${Math.round(total / seconds / 1024)} KiB/s`);
  return `${total >> 20} MiB in ${seconds.toFixed(2)} s`;
});

// Touches memory beside the heap until the kernel ends this process; returns only if nothing did after 4 GiB.
export function memoryBomb() {
  const kept = [];
  while (kept.length < 4096) kept.push(Buffer.alloc(1 << 20, kept.length));
}
