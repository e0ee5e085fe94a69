// Reads xAPI statements from its input, one a line, and has the validator of a learning record
// store look at each. Prints what is wrong, and how many statements there were.

import { readFileSync } from "node:fs";
import validator from "@learninglocker/xapi-validation";

const validate = validator.default;

let wrong = 0;
const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
for (const line of lines) {
  for (const warning of validate(JSON.parse(line))) {
    wrong += 1;
    console.log(`${JSON.stringify(warning)}: ${line.slice(0, 500)}`);
  }
}
console.log(`${lines.length} statements`);
process.exit(wrong > 0 ? 1 : 0);
