// Guardhouse asks before each tool runs. Written by `guardhouse install opencode`; `guardhouse uninstall opencode` removes it.
import { spawn } from "node:child_process";

const RUN = {};
const CLOSED = true;
const MILLISECONDS = 30000;
const GONE = "Guardhouse could not be asked, so the tool was not let run. Do not try another way: tell the person, who repairs it with `guardhouse install opencode`.";

function ask(payload) {
  return new Promise((resolve) => {
    let told = "";
    let done = false;
    const end = (answer) => {
      if (!done) {
        done = true;
        clearTimeout(timer);
        resolve(answer);
      }
    };
    const child = spawn(RUN.file, RUN.args, { stdio: ["pipe", "pipe", "ignore"] });
    const timer = setTimeout(() => {
      child.kill();
      end(null);
    }, MILLISECONDS);
    child.on("error", () => end(null));
    child.stdin.on("error", () => {});
    child.stdout.on("data", (part) => {
      told += part;
    });
    child.on("close", (status) => {
      try {
        end(status === 0 ? JSON.parse(told) : null);
      } catch {
        end(null);
      }
    });
    child.stdin.end(JSON.stringify(payload));
  });
}

export const Guardhouse = async ({ directory, worktree }) => ({
  "tool.execute.before": async (input, output) => {
    const answer = await ask({
      event: "tool.execute.before",
      tool: input.tool,
      sessionID: input.sessionID,
      callID: input.callID,
      args: output.args,
      directory,
      worktree,
    });
    if (answer === null) {
      if (CLOSED) throw new Error(GONE);
      return;
    }
    if (answer.decision !== "allow" && answer.decision !== "warn") throw new Error(answer.reason || GONE);
  },
});
