import fs from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import path from 'node:path'
import { json } from 'node:stream/consumers'
import type { CaAccess } from '../../../../src/authority/ca-access.ts'
import { initCaDirectory } from '../../../../src/authority/init-authority.ts'
import { rotateAuthority } from '../../../../src/authority/rotate-authority.ts'
import { caOptions, caSettings } from '../../../../src/config/ca.ts'
import { loadConfig } from '../../../../src/config/load.ts'
import type { AuthorityIntroduction } from '../../../../src/core/api/authority-introduction.ts'
import { type WaitRequest, waitRequest } from '../../../../src/core/api/push/wait.ts'
import { parseCertificates } from '../../../../src/core/pki/certificate.ts'
import { keyHash } from '../../../../src/core/pki/key-hash.ts'
import { until } from '../../../servers.ts'
import { PushBed } from './push-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('a verifier that lies about authorities', () => {
  const bed = new PushBed()
  const asked: WaitRequest[] = []
  let told: AuthorityIntroduction
  const file = (...names: string[]) => path.join(bed.servers.place.dir, ...names)
  const read = (...names: string[]) => fs.readFileSync(file(...names), 'utf8')
  const introductionOf = (name: string) => ({ authorities: read(name, 'cacert.crt'), bridge: read(name, 'cacert-bridge.crt') })
  const followed = () => {
    const text = path.join(bed.servers.agentDir, 'followed-authorities.json')
    return fs.existsSync(text) ? JSON.parse(fs.readFileSync(text, 'utf8')) : null
  }
  /** What the machine knows is what stood there before the rotation. */
  const start = (operators: string) =>
    bed.startAgent({
      KEYLIME_AGENT_VERIFIER_TLS_CA_CERT: file('before.crt'),
      KEYLIME_AGENT_TRUSTED_CLIENT_CA: file(operators),
    })

  beforeAll(async () => {
    await bed.start()
    const settings = caSettings(loadConfig('ca', caOptions, { env: bed.servers.place.env }).values)
    const access = (name: string): CaAccess => ({ directory: file(name), password: 'x', settings, now: Date.now })
    fs.copyFileSync(file('cv_ca/cacert.crt'), file('before.crt'))
    for (const name of ['other', 'operators']) await initCaDirectory(access(name))
    fs.copyFileSync(file('operators/cacert.crt'), file('operators.crt'))
    for (const name of ['cv_ca', 'other']) await rotateAuthority(access(name))
    bed.verifier.extensions = { wait: 60 }
    bed.verifier.seconds = 3
    bed.verifier.beyond = (request: IncomingMessage, response: ServerResponse) => {
      if (!/^\/v3\.0\/agents\/[^/]+\/wait$/.test(request.url!)) return false
      void json(request).then((body) => {
        asked.push(waitRequest.parse(body))
        const attributes = { attest: null, notices: [], notifier: null, authority: told }
        response.writeHead(200, { 'content-type': 'application/vnd.api+json' }).end(JSON.stringify({ data: { type: 'news', attributes } }))
      })
      return true
    }
  })
  beforeEach(() => {
    asked.length = 0
    bed.log.length = 0
    bed.verifier.accepted.length = 0
  })
  afterEach(async () => {
    await bed.stopAgent()
    fs.rmSync(path.join(bed.servers.agentDir, 'followed-authorities.json'), { force: true })
  })
  afterAll(() => bed.stop())

  test.each<[string, string, () => AuthorityIntroduction]>([
    ['one of nobody', 'before.crt', () => introductionOf('other')],
    ['one that the authority of servers vouches for, where another has the operators', 'operators.crt', () => introductionOf('cv_ca')],
    ['one where the machine knows no operators', 'none.crt', () => introductionOf('cv_ca')],
    [
      'one with the bridge that leads to another',
      'before.crt',
      () => ({ authorities: introductionOf('other').authorities, bridge: introductionOf('cv_ca').bridge }),
    ],
    ['no certificate', 'before.crt', () => ({ authorities: 'x', bridge: 'x' })],
  ])('names %s: it is not followed, which is told once, and the machine is attested on', async (_what, operators, lie) => {
    told = lie()
    await start(operators)
    await until('evidence after the lie', () => bed.verifier.accepted.length > 1 && asked.length > 3, 20)
    expect(followed()).toBeNull()
    expect(asked[0]!.authority).toBeNull()
    expect(asked.at(-1)!.authority).toEqual({ digest: expect.any(String), believes: null })
    expect(bed.told(/is not followed/)).toEqual([expect.stringMatching(/^warn.*hint/)])
    expect(bed.told(/is trusted from now on/)).toEqual([])
  })

  test('says too early that the one before is over: it is kept as long as the verifier itself is of it', async () => {
    told = introductionOf('cv_ca')
    await start('before.crt')
    await until('that it follows', () => asked.at(-1)?.authority?.believes, 20)
    const [next] = parseCertificates(told.authorities)
    expect(asked.at(-1)!.authority!.believes).toBe(keyHash(next!))
    expect(followed()).toMatchObject({ added: [next!.pem], dropped: [] })
    const heard = asked.at(-1)!.authority
    told = { authorities: next!.pem, bridge: null } // the server’s certificate is of the one before still
    const before = asked.length
    await until('more requests', () => asked.length > before + 2, 20)
    expect(asked.at(-1)!.authority).toEqual(heard)
    expect(followed()).toMatchObject({ added: [next!.pem], dropped: [] })
    told = { authorities: read('other/cacert.crt'), bridge: null } // nothing that is believed would be left
    await until('more requests', () => asked.length > before + 5, 20)
    expect(followed()).toMatchObject({ dropped: [] })
    await until('that it is attested on', () => bed.verifier.accepted.length > 2, 20)
  })
})
