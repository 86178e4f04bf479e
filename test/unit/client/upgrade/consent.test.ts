import t from "tap";
import { refuseWithoutConsent } from "../../../../client/upgrade/consent.ts";
import { never } from "../../../fixtures/machine.ts";

const context = { write: () => {}, warn: () => {}, terminal: true, env: {}, signal: never };

t.test("an upgrade asks for confirmation at a terminal, and requires --yes otherwise", async (t) => {
  const questions: string[] = [];
  const answering = (answer: boolean) => ({
    ...context,
    confirm: async (question: string) => {
      questions.push(question);
      return answer;
    },
  });
  await t.resolves(refuseWithoutConsent(answering(true), false));
  await t.rejects(refuseWithoutConsent(answering(false), false), {
    code: "CANCELLED",
    message: "the upgrade was not started; programs were downloaded, and nothing else was changed",
  });
  t.strictSame(questions, ["Begin? [y/N] ", "Begin? [y/N] "]);
  await t.rejects(refuseWithoutConsent(context, false), { code: "INVALID_ARGUMENT", hint: /--yes/ });
  await t.resolves(refuseWithoutConsent(context, true));
});
