/** Something of ours went wrong before a machine had said anything: a bug, or what is stored of it. It says nothing of the machine (decision 151). */
export class OwnTrouble extends Error {
  constructor(cause: unknown) {
    super('the verifier cannot ask it, which is its own fault', { cause })
  }
}
