import fs from 'node:fs'
import { type Swtpm, startSwtpm } from '../../swtpm.ts'
import { AgentBed } from './agent-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('agent_data.json', () => {
  const bed = new AgentBed({ KEYLIME_REGISTRAR_SAME_TPM_UNDER_OTHER_IDS: 'allow' }) // the same TPM gets an id of its own on the way
  const file = () => fs.readFileSync(`${bed.agentDir}/agent_data.json`, 'utf8')
  let other: Swtpm

  beforeAll(async () => {
    other = await startSwtpm()
    await bed.start()
  })
  afterAll(async () => {
    await other.stop()
    await bed.stop()
  })

  /** Starts the agent with other settings, and ends it again. */
  async function restart(settings: Record<string, string> = {}): Promise<void> {
    await bed.agent.stop().catch(() => undefined)
    await bed.startAgent(settings)
  }

  describe('the attestation key survives a start with wrong settings', () => {
    const wrong: [string, () => Record<string, string>, RegExp][] = [
      ['another hash', () => ({ KEYLIME_AGENT_TPM_HASH_ALG: 'sha384' }), /the saved key is for tpm_hash_alg = sha256, not sha384/],
      [
        'another kind of key',
        () => ({ KEYLIME_AGENT_TPM_ENCRYPTION_ALG: 'rsa', KEYLIME_AGENT_TPM_SIGNING_ALG: 'rsassa' }),
        /the saved key is for tpm_signing_alg = ecdsa, not rsassa/,
      ],
      ['another TPM', () => ({ TCTI: other.tcti }), /the saved key is for another TPM/],
    ]
    test.each(wrong)('%s: refused by the registrar, told why, and nothing is lost', async (_, settings, hint) => {
      const before = file()
      for (let attempt = 0; attempt < 2; attempt++)
        await expect(restart(settings())).rejects.toMatchObject({ code: 'refused', hint: expect.stringMatching(hint) })
      expect(file()).toBe(before)
      await restart()
      expect(file()).toBe(before)
    })

    test('a wrong TPM whose id follows from it registers as another agent; with the right one the right key is there again', async () => {
      const id = { KEYLIME_AGENT_UUID: 'hash_ek' }
      await restart(id)
      const own = bed.agent.agentId
      const before = file()
      await restart({ ...id, TCTI: other.tcti })
      expect(bed.agent.agentId).not.toBe(own)
      expect(file()).not.toBe(before)
      await restart(id)
      expect(bed.agent.agentId).toBe(own)
      expect(file()).toBe(before)
    })
  })

  test('a file that cannot be read is put aside, once the registrar took another key', async () => {
    await bed.agent.stop()
    fs.writeFileSync(`${bed.agentDir}/agent_data.json`, 'damaged')
    await expect(bed.startAgent()).rejects.toMatchObject({ code: 'refused' })
    expect(file()).toBe('damaged')
    await bed.startAgent({ KEYLIME_AGENT_UUID: 'another-id' })
    expect(fs.readFileSync(`${bed.agentDir}/agent_data.json.unreadable`, 'utf8')).toBe('damaged')
  })
})
