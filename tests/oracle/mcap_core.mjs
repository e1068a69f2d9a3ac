// Our MCAP of the RAV4 minute in the official TypeScript readers: @mcap/core 2.2.2 (streaming, with
// CRCs checked, and indexed) with the zstd of @mcap/support 1.1.0. Both find the messages of the
// statistics, in every topic; a flipped bit of a chunk is found.
// Usage: mcap_core.mjs with NODE_PATH; B=build/release. Exit status 0: all of it holds.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

// NODE_PATH counts for require only.
const require = createRequire(import.meta.url);
const { McapIndexedReader, McapStreamReader } = require("@mcap/core");
const { loadDecompressHandlers } = require("@mcap/support");

const root = path.dirname(path.dirname(path.dirname(new URL(import.meta.url).pathname)));
const roadloop = path.join(root, process.env.B ?? "build/release", "roadloop");
const rav4 = path.join(root, "tests/data/rav4");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "mcap_core."));
const handlers = await loadDecompressHandlers();

function must(condition, text) {
  if (!condition) {
    throw new Error(text);
  }
}

function add(counts, id) {
  counts.set(id, (counts.get(id) ?? 0n) + 1n);
}

function sameCounts(a, b) {
  return a.size === b.size && [...a].every(([id, count]) => b.get(id) === count);
}

function stream(bytes) {
  const reader = new McapStreamReader({ validateCrcs: true, decompressHandlers: handlers });
  const counts = new Map();
  const kinds = new Map();
  reader.append(bytes);
  for (let record; (record = reader.nextRecord()); ) {
    kinds.set(record.type, (kinds.get(record.type) ?? 0) + 1);
    if (record.type === "Message") {
      add(counts, record.channelId);
    }
  }
  must(reader.done(), "the file goes on");
  return { counts, kinds };
}

async function indexed(bytes) {
  const readable = {
    size: async () => BigInt(bytes.byteLength),
    read: async (offset, length) => bytes.subarray(Number(offset), Number(offset + length)),
  };
  const reader = await McapIndexedReader.Initialize({ readable, decompressHandlers: handlers });
  const counts = new Map();
  let last = 0n;
  for await (const message of reader.readMessages()) {
    must(message.logTime >= last, "messages out of order");
    last = message.logTime;
    add(counts, message.channelId);
  }
  const attachments = [];
  for await (const attachment of reader.readAttachments()) {
    attachments.push(attachment.name);
  }
  const metadata = [];
  for await (const record of reader.readMetadata()) {
    metadata.push(record.name);
  }
  return { counts, attachments, metadata, reader };
}

function flipped(bytes, chunk) {
  const copy = new Uint8Array(bytes);
  copy[Number(chunk.chunkStartOffset + chunk.chunkLength / 2n)] ^= 1;
  try {
    stream(copy);
  } catch {
    return true;
  }
  return false;
}

try {
  const file = path.join(folder, "rav4.mcap");
  execFileSync(roadloop, ["convert", path.join(rav4, "can.log.zst"), file,
    "--dbc", `can0=${path.join(rav4, "toyota_nodsu_pt_generated.dbc")}`,
    "--dbc", `can1=${path.join(rav4, "toyota_adas.dbc")}`]);
  const bytes = new Uint8Array(fs.readFileSync(file));
  const streamed = stream(bytes);
  const byIndex = await indexed(bytes);
  const statistics = byIndex.reader.statistics;
  must(sameCounts(streamed.counts, statistics.channelMessageCounts), "stream and statistics");
  must(sameCounts(byIndex.counts, statistics.channelMessageCounts), "index and statistics");
  must(streamed.kinds.get("DataEnd") === 1 && streamed.kinds.get("Footer") === 1, "no end");
  must(statistics.attachmentCount === byIndex.attachments.length, "attachments");
  must(byIndex.attachments.includes("dbc/can1/toyota_adas.dbc"), "database not attached");
  must(byIndex.metadata.join() === "vehicle,clip,trigger,clock,loss,versions", "metadata");
  must(flipped(bytes, byIndex.reader.chunkIndexes[10]), "a flipped bit went unseen");
  console.log(`@mcap/core: ${statistics.messageCount} messages, ${streamed.counts.size} topics, ` +
    `${byIndex.reader.chunkIndexes.length} chunks, by stream and by index`);
} finally {
  fs.rmSync(folder, { recursive: true });
}
