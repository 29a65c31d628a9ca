import { type Authority, makeBridge } from '../../../../src/core/pki/issue.ts'
import { judgeSuccessor, type SuccessorQuestion } from '../../../../src/core/pki/judge-successor.ts'
import { commonName, DAY, ecPair, leaf, NOW, root } from './fixtures.ts'

const pair = ecPair()
const [before, next] = [await root('Before'), await root('Next', { pair, notAfter: NOW + 30 * DAY })]
const [oldBefore, oldNext] = [await root('Before', { givesRoles: false }), await root('Next', { pair, givesRoles: false })]
const namesake = await root('Before')
const sameKey = await root('Other', { pair: { privateKey: before.key, publicKey: before.certificate.publicKey } })

const bridgeBy = (authority: Authority, changes: { notBefore?: number; notAfter?: number } = {}) =>
  makeBridge(authority, {
    ...{ subject: commonName('Next'), publicKey: pair.publicKey, serial: 9n, crlUrl: '', givesRoles: true },
    ...{ notBefore: NOW - DAY, notAfter: NOW + 30 * DAY, ...changes },
  })
const bridge = await bridgeBy(before)
const judged = (changes: Partial<SuccessorQuestion>) =>
  judgeSuccessor({ next: next.certificate, bridge, believed: [before.certificate], now: NOW, ...changes })

test('the next authority is believed by the word of one that is believed, whichever of them that is', () => {
  const believed = [sameKey, namesake, before].map(({ certificate }) => certificate)
  expect(judged({ believed })).toEqual({ ok: true, before: before.certificate })
})

test('one that gives no roles may be followed by any', async () => {
  const changes = { bridge: await bridgeBy(oldBefore), believed: [oldBefore.certificate] }
  for (const { certificate } of [oldNext, next])
    expect(judged({ ...changes, next: certificate })).toEqual({ ok: true, before: oldBefore.certificate })
})

test.each<[string, Partial<SuccessorQuestion>, string]>([
  ['no bridge', { bridge: next.certificate }, 'the bridge is not a certificate by which one authority vouches for the next'],
  ['a bridge for another key', { next: (await root('Next')).certificate }, 'the bridge is for another key'],
  [
    'a next one that may not be an authority',
    { next: await leaf(next, 'Next', { pair }) },
    'the next authority is not a certificate authority',
  ],
  ['a next one that another authority signed', { next: bridge }, 'the next authority is not a certificate authority'],
  ['nobody who is believed', { believed: [] }, 'no authority that is trusted here has signed the bridge'],
  ['another key of the same name', { believed: [namesake.certificate] }, 'no authority that is trusted here has signed the bridge'],
  ['another name of the same key', { believed: [sameKey.certificate] }, 'no authority that is trusted here has signed the bridge'],
  ['the next one itself', { bridge: await bridgeBy(next) }, 'no authority that is trusted here has signed the bridge'],
  ['a next one without roles', { next: oldNext.certificate }, 'the next authority gives no roles, but the previous one does'],
  ['a bridge that has ended', { bridge: await bridgeBy(before, { notAfter: NOW - 1000 }) }, 'the bridge ended on 2026-05-31'],
  ['a bridge of later', { bridge: await bridgeBy(before, { notBefore: NOW + 2000 }) }, 'the bridge is not valid before'],
  ['one before that has ended', { now: NOW + 11 * DAY }, 'the authority before ended on 2026-06-11'],
  [
    'a next one that has ended',
    { now: NOW + 31 * DAY, bridge: await bridgeBy(before, { notAfter: NOW + 40 * DAY }) },
    'the next authority ended',
  ],
])('%s makes nothing believed', (_what, changes, reason) => {
  expect(judged(changes)).toEqual({ ok: false, reason: expect.stringContaining(reason) })
})
