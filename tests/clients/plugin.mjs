// Runs an OpenCode plugin by the client's contract: questions as JSON lines in, "ran" or the error's words out.
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"

const [file, questions] = process.argv.slice(2)
const module = await import(pathToFileURL(file).href)
const parents = { child: "ses_1" }
const client = { session: { get: async ({ path }) => ({ data: { parentID: parents[path.id] } }) } }
for (const line of readFileSync(questions, "utf8").trim().split("\n")) {
  const { tool, sessionID, args } = JSON.parse(line)
  const hooks = await module.Guardhouse({ client, directory: "/srv/app", worktree: "/" })
  await hooks["chat.message"]({ sessionID, agent: "explore" })
  try {
    await hooks["tool.execute.before"]({ tool, sessionID, callID: "call_1" }, { args })
    console.log(JSON.stringify({ ran: true }))
  } catch (error) {
    console.log(JSON.stringify({ ran: false, told: error.message }))
  }
}
