// Runs an OpenCode plugin by the client's contract: questions as JSON lines in, "ran" or the error's words out.
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"

const [file, questions] = process.argv.slice(2)
const module = await import(pathToFileURL(file).href)
const parents = { child: "ses_1", flaky: "ses_1" }
const warned = []
let tries = 0
// What OpenCode's own client does: it answers with data or an error, and throws where its server cannot be reached.
const answers = {
  unreadable: async () => ({ error: { name: "NotFoundError" } }),
  failing: async () => {
    throw new Error("fetch failed")
  },
  empty: async () => undefined,
  flaky: async () => (tries++ ? { data: { parentID: "ses_1" } } : { error: {} }),
}
const client = {
  session: { get: async ({ path }) => (answers[path.id] ?? (async () => ({ data: { id: path.id, parentID: parents[path.id] } })))() },
  app: { log: async ({ body }) => warned.push(`${body.service} ${body.level}: ${body.message}`) },
  tui: { showToast: async ({ body }) => warned.push(`${body.variant}: ${body.message}`) },
}
const hooks = await module.Guardhouse({ client, directory: "/srv/app", worktree: "/" })
for (const line of readFileSync(questions, "utf8").trim().split("\n")) {
  const { tool, sessionID, args } = JSON.parse(line)
  await hooks["chat.message"]({ sessionID, agent: "explore" })
  try {
    await hooks["tool.execute.before"]({ tool, sessionID, callID: "call_1" }, { args })
    console.log(JSON.stringify({ ran: true, warned }))
  } catch (error) {
    console.log(JSON.stringify({ ran: false, told: error.message, warned }))
  }
}
