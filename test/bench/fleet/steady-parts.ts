import { largest } from './given.ts'
import { each, type Part, steady } from './run.ts'

/** Enough to keep a verifier busy. */
const FEW = 100
/** In all lists together: for more, the first round takes minutes. */
const MANY_LINES = 10_000_000
/** So many that a policy is judged by in worker threads alone (`isLight`). */
const HEAVY_EXCLUDES = 1000

/** What attestations cost: by the number of machines, by what they bring, and by how they behave. */
export const STEADY_PARTS: Record<string, Part> = {
  cost: async (given) => [
    'machines with a policy of 1,000 digests',
    await each(given.sizes, (count) => steady(given, { count }, { rests: true })),
  ],
  policy: async (given) => [
    `${largest(given)} machines that share a policy of so many digests`,
    await each([0, 100_000, 500_000], (policyDigests) =>
      steady(given, { policyDigests }, { first: { digests: policyDigests }, rests: true }),
    ),
  ],
  log: async (given) => [
    'machines with so many lines in their measurement lists',
    await each([1000, 10_000, 100_000], (logLines) => {
      const count = Math.min(largest(given), 1000, MANY_LINES / logLines)
      return steady(given, { logLines, count }, { first: { lines: logLines, machines: count }, rests: true })
    }),
  ],
  closing: async (given) => [
    `${largest(given)} machines at an interval of 8 s, which keep their connections, close them after 5 s, or cannot resume sessions either`,
    await each(['keep', 'closing', 'foreign'], (kind) =>
      steady({ ...given, interval: 8 }, { shares: kind === 'keep' ? {} : { [kind]: 1 } }, { first: { kind } }),
    ),
  ],
  hanging: async (given) => [
    `${largest(given)} machines, some of which hang each request for a minute: from the start, or some time after they were attested`,
    await each([{}, { hanging: 0.2 }, { freezing: 0.2 }], ({ hanging = 0, freezing = 0 }: { hanging?: number; freezing?: number }) =>
      steady(
        given,
        { shares: { hanging, freezing }, ...(freezing ? { seconds: Math.max(given.seconds, 60) } : {}) },
        { first: { hanging, freezing } },
      ),
    ),
  ],
  workers: async (given) => [
    'machines that are asked without a pause, judged where their answers arrive, or in worker threads because of their policy’s expressions',
    await each([0, HEAVY_EXCLUDES], (policyExcludes) =>
      steady(
        { ...given, interval: 0 },
        { count: FEW, policyExcludes },
        { first: { 'judged in': policyExcludes === 0 ? 'the main thread' : 'workers' } },
      ),
    ),
  ],
  lagging: async (given) => [
    `${largest(given)} machines at an interval that is shorter than the verifier can do`,
    [await steady(given, { interval: 0 })],
  ],
}
