import type { LabVerifier } from '../../../src/tools/lab/lab-verifier.ts'

/** Several verifiers of one database as one: what is measured is their sum, and what is asked goes to one after another. */
export function joinedVerifiers(verifiers: readonly LabVerifier[]): LabVerifier {
  const [first] = verifiers as readonly [LabVerifier]
  const sum = (figure: (verifier: LabVerifier) => number) => verifiers.reduce((total, verifier) => total + figure(verifier), 0)
  let asked = 0
  return {
    pid: first.pid,
    ca: first.ca,
    get admin() {
      return verifiers[asked++ % verifiers.length]!.admin
    },
    adminOptions: first.adminOptions,
    registrar: first.registrar,
    metrics: async () => sumOfMetrics(await Promise.all(verifiers.map((verifier) => verifier.metrics()))),
    cpuMs: () => sum((verifier) => verifier.cpuMs()),
    pssMb: () => sum((verifier) => verifier.pssMb()),
    signal: (signal) => {
      for (const verifier of verifiers) verifier.signal(signal)
    },
    restart: async () => Math.max(...(await Promise.all(verifiers.map((verifier) => verifier.restart())))),
    stop: async () => {
      for (const verifier of verifiers) await verifier.stop()
    },
  }
}

/** Texts of `/metrics`: each figure is the sum of all. */
export function sumOfMetrics(texts: readonly string[]): string {
  const sums = new Map<string, number>()
  for (const line of texts.flatMap((text) => text.split('\n'))) {
    const at = line.lastIndexOf(' ')
    if (line === '' || line.startsWith('#') || at < 0) continue
    sums.set(line.slice(0, at), (sums.get(line.slice(0, at)) ?? 0) + Number(line.slice(at + 1)))
  }
  return [...sums].map(([name, value]) => `${name} ${value}\n`).join('')
}
