// Recomputes ids.json with the JavaScript functions of docs/ids.md, as an app developer would copy them.
// Exits with 1 on any difference.
import { readFileSync } from "node:fs";

const page = readFileSync(new URL("../../../docs/ids.md", import.meta.url), "utf8");
const block = page.match(/^```javascript\n([^]*?)^```$/m)[1];
const { acquitId, publicId } = await import("data:text/javascript;base64," + Buffer.from(block).toString("base64"));
const vectors = JSON.parse(readFileSync(new URL("ids.json", import.meta.url), "utf8"));

const pairs = [];
for (const v of vectors.payment) {
  const id = acquitId("payment", v.publisher, v.messageId);
  pairs.push([v.id, id], [v.publicId, publicId(id)]);
}
for (const v of vectors.command) pairs.push([v.id, acquitId("command", v.type, v.publisher, v.messageId)]);
for (const v of vectors.followUp) pairs.push([v.id, acquitId("follow-up", v.paymentId, v.type, v.slot)]);

const wrong = pairs.filter(([said, found]) => said !== found);
for (const [said, found] of wrong) console.log(`ids.json says ${said}, the recipe gives ${found}`);
console.log(`${pairs.length} ids, ${wrong.length} wrong`);
process.exitCode = wrong.length || !pairs.length ? 1 : 0;
