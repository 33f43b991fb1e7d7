// Promptfoo: a test for each prompt, an assertion that reads the reply as JSON. Words as in asked.py.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [root, file, inFlight] = process.argv.slice(2);
const place = createRequire(`${process.env.PEER_FOLDER}/package.json`).resolve("promptfoo");
const { default: promptfoo } = await import(pathToFileURL(place));
const prompts = JSON.parse(readFileSync(file, "utf-8"));
const suite = {
  prompts: ["{{ chat | safe }}"],
  providers: [{
    id: "openai:chat:m",
    config: { apiBaseUrl: `${root}/v1`, apiKey: "a-key-of-no-account", max_tokens: 1024, maxRetries: 0 },
  }],
  tests: prompts.map((messages) => ({
    vars: { chat: JSON.stringify(messages) },
    assert: [{ type: "javascript", value: "'score' in JSON.parse(output).interesting" }],
  })),
  writeLatestResults: false,
};
await fetch(`${root}/forget`);
const found = await promptfoo.evaluate(suite, {
  cache: false, maxConcurrency: Number(inFlight), showProgressBar: false, silent: true,
});
const { results } = await found.toEvaluateSummary();
console.log(JSON.stringify({ answered: results.filter((result) => result.success).length }));
process.exit(0);
