// Prints the events of a Flightlog installation as they happen, one JSON document a line, and goes on where it was after
// any break. Ends after --count events, if told to.
//
//     node build/main.js 127.0.0.1:8089 --project flytesnacks --fact NodeSucceeded --after 0

import { parseArgs } from "node:util";
import { follow, describe } from "./events.js";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    stream: { type: "string", default: "EXECUTION" },
    project: { type: "string", default: "" },
    domain: { type: "string", default: "" },
    name: { type: "string", default: "" },
    fact: { type: "string", multiple: true, default: [] },
    after: { type: "string", default: "0" },
    new: { type: "boolean", default: false },
    count: { type: "string" },
  },
});
if (positionals.length !== 1) {
  console.error("usage: main.js HOST:PORT [--stream S] [--project P] [--domain D] [--name N] [--fact F]… [--after N | --new]");
  process.exit(64);
}
const { stream, project, domain, name, fact: facts } = values;
const filter = { stream, project, domain, name, facts };
let left = values.count === undefined ? Infinity : Number(values.count);

for await (const event of follow(positionals[0], filter, BigInt(values.after), values.new)) {
  console.log(JSON.stringify(describe(event)));
  if (--left <= 0) break;
}
