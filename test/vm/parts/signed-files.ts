import path from 'node:path'
import { accepted, type Bench, expectWords, first, type Subject } from '../bench.ts'
import { CACHE } from '../machine.ts'

/** A script of the image that a key signed (security.ima), and that no policy names. */
const SIGNED = '/opt/signed/hello'

/** A file is allowed by the signature that the kernel measured with it, and no longer when it is changed. */
export async function signedFiles(bench: Bench): Promise<void> {
  const { golden, operator, report } = bench
  const runtimePolicy = path.join(operator.dir, 'signed.json')
  let one!: Subject
  await report.step('a policy that knows the signing key is accepted', async () => {
    const key = ['--verification-keys', path.join(CACHE, 'ima/cert.pem')]
    await operator.succeeds('policy', 'create', 'runtime', '--base-policy', golden.record.runtimePolicy, ...key, '-o', runtimePolicy)
    one = await first(bench)
    const signed = { ...bench, golden: { ...golden, record: { ...golden.record, runtimePolicy } } }
    await accepted(signed, one, operator.payload('payload-signed', { 'secret.txt': 'for programs of the vendor\n' }))
  })
  await report.step('a signed program that it does not name may run', async () => {
    await one.machine.sh(SIGNED)
    expectWords(await one.machine.sh(`grep ' ${SIGNED} ' /sys/kernel/security/ima/ascii_runtime_measurements`), 'ima-sig')
    await operator.attestedAgain(one.id, 3)
  })
  await report.step('the same program, changed: its signature holds no more, and the verdict names it', async () => {
    await one.machine.sh(`echo ': harmless' >>${SIGNED}; ${SIGNED}`)
    return expectWords(await operator.refused(one.id), SIGNED, 'does not hold')
  })
}
