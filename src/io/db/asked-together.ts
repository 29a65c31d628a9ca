import { setImmediate as turn } from 'node:timers/promises'

interface Waiting<Question, Answer> {
  question: Question
  resolve(answer: Answer): void
  reject(error: unknown): void
}

/**
 * Questions of one turn of the event loop are asked at once: a server takes as long for hundreds as for one, and each answer is of a moment behind its question.
 * @param ask gives the answers in the order of the questions.
 */
export function askedTogether<Question, Answer>(
  ask: (questions: readonly Question[]) => Promise<readonly Answer[]>,
): (question: Question) => Promise<Answer> {
  let waiting: Waiting<Question, Answer>[] = []

  async function run(): Promise<void> {
    await turn()
    const asked = waiting
    waiting = []
    try {
      const answers = await ask(asked.map(({ question }) => question))
      for (const [i, { resolve }] of asked.entries()) resolve(answers[i]!)
    } catch (error) {
      for (const { reject } of asked) reject(error)
    }
  }

  return (question) =>
    new Promise((resolve, reject) => {
      waiting.push({ question, resolve, reject })
      if (waiting.length === 1) void run()
    })
}
