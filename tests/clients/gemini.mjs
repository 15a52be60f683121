// Reads our answers (JSON lines) with Gemini CLI's own classes and says what it made of each.
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import { join } from "node:path"

const [folder, answers] = process.argv.slice(2)
const types = join(folder, "node_modules/@google/gemini-cli-core/dist/src/hooks/types.js")
const { createHookOutput } = await import(pathToFileURL(types).href)
for (const line of readFileSync(answers, "utf8").trim().split("\n")) {
  const read = createHookOutput("BeforeTool", JSON.parse(line))
  const stops = read.isBlockingDecision() || read.shouldStopExecution()
  console.log(JSON.stringify({ stops, asks: read.isAskDecision(), told: read.getEffectiveReason() }))
}
