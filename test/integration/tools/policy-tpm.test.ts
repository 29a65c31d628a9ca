import { openTpm } from '../../../src/io/tpm/open-tpm.ts'
import { createTpm } from '../../../src/tools/policy/create-tpm.ts'
import { startSwtpm } from '../../swtpm.ts'

test('static PCRs come from a TPM, and change with it', async () => {
  const swtpm = await startSwtpm()
  try {
    const make = async () => JSON.parse(await createTpm({ bank: 'sha256', pcrsList: '7,15', tcti: swtpm.tcti }, () => undefined))
    const tpm = await openTpm({ tcti: swtpm.tcti })
    await tpm.pcrExtend('sha256', 15, Buffer.alloc(32, 1))
    tpm.close()
    const made = await make()
    expect(made).toEqual({ 7: ['0'.repeat(64)], 15: [expect.stringMatching(/^[0-9a-f]{64}$/)] })
    const again = await openTpm({ tcti: swtpm.tcti })
    await again.pcrExtend('sha256', 15, Buffer.alloc(32, 2))
    again.close()
    expect((await make())[15]).not.toEqual(made[15])
  } finally {
    await swtpm.stop()
  }
})
