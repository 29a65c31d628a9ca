import fc from 'fast-check'
import { isKeylimeError } from '../../../../src/core/errors.ts'
import { devicePathText } from '../../../../src/core/measured-boot/device-path.ts'
import { dataCoverage } from '../../../../src/core/measured-boot/event-digest.ts'
import { type BootEvent, parseEventLog } from '../../../../src/core/measured-boot/event-log.ts'
import { readEvent } from '../../../../src/core/measured-boot/read-event.ts'
import { seeEvents } from '../../../../src/core/measured-boot/see-events.ts'
import { parseVendorDb } from '../../../../src/core/measured-boot/signature-lists.ts'
import { changed, machineEvents, machineLog, measured, serialize, u32 } from '../../../boot-log.ts'
import { runs } from '../../../thorough.ts'

const MACHINES = ['secure-boot-ima-ng', 'no-secure-boot', 'secure-boot-ima-sig']
const TYPES = [0x80000001, 0x80000002, 0x800000e0, 0x80000003, 0x80000006, 0x80000008, 0x8000000a, 0x80000007, 13, 4, 8, 3]

test.each(MACHINES)('every event of %s is read, and its data hashes to its digest wherever a rule says so', (machine) => {
  for (const bank of ['sha1', 'sha256'] as const)
    for (const event of machineEvents(machine)) {
      expect({ number: event.number, coverage: dataCoverage(event, bank) }).not.toMatchObject({ coverage: 'false' })
      expect(readEvent(event)).not.toMatchObject({ defect: expect.any(String) })
    }
})

test('events are seen with their inner form', () => {
  const events = seeEvents(parseEventLog(machineLog('secure-boot-ima-ng')), 'sha256')
  const at = (standsFor: string | RegExp) =>
    events.find((seen) => (typeof standsFor === 'string' ? seen.standsFor === standsFor : standsFor.test(seen.standsFor)))!.content
  expect(at('Secure Boot state')).toMatchObject({
    name: 'SecureBoot',
    guid: '8be4df61-93ca-11d2-aa0d-00e098032b8c',
    value: { kind: 'switch', enabled: true },
  })
  expect(at('key exchange keys (KEK)')).toMatchObject({ value: { lists: [{ type: 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072' }, {}] } })
  expect(at('boot order')).toMatchObject({ value: { kind: 'boot-order', entries: expect.arrayContaining(['Boot0000']) } })
  expect(at(/^boot entry Boot0000 /)).toMatchObject({
    value: { kind: 'load-option', option: { enabled: true, description: expect.any(String) } },
  })
  expect(at('signer of Shim (db)')).toMatchObject({ value: { signatures: [{ owner: '77fa9abd-0359-4d32-bd60-28f4e78f784b' }] } })
  expect(at('SBAT level of Shim')).toMatchObject({ value: { kind: 'text', text: expect.stringMatching(/^sbat,1,/) } })
  expect(at(/^partition table/)).toMatchObject({
    partitions: [{ name: 'esp', type: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b' }, { name: 'root' }],
  })
  expect(at(/^Shim/)).toEqual({
    kind: 'image',
    devicePath: 'PciRoot(0x0)/Pci(0x1,0x0)/HD(1,GPT,6b65796c-696d-4d00-8000-000000000002,0x800,0x20000)/File(\\EFI\\BOOT\\BOOTX64.EFI)',
  })
  expect(at('firmware volume at 0x820000')).toEqual({ kind: 'blob', address: 0x820000, length: 0xe0000 })
})

test('a note of the firmware is told by its signature', () => {
  const note = { ...machineEvents('no-secure-boot')[0]!, type: 3, data: Buffer.from('StartupLocality\0\x03', 'latin1') }
  expect(seeEvents(parseEventLog(serialize([note])), 'sha256')[0]!.standsFor).toBe('note "StartupLocality"')
})

const path = (...nodes: string[]) => devicePathText(Buffer.from(`${nodes.join('')}7fff0400`, 'hex'))
test.each([
  [
    'FvVol(8fc151ae-c96f-4bc9-8c33-107992c7735b)/FvFile(821aca26-29ea-4993-839f-597fc021708d)',
    ['04071400ae51c18f6fc9c94b8c33107992c7735b', '0406140026ca1a82ea299349839f597fc021708d'],
  ],
  [
    'PciRoot(0x0)/Pci(0x6,0x0)/NVMe(0x1,00-25-38-B2-21-D1-37-50)',
    ['02010c00d041030a00000000', '010106000006', '0317100001000000002538b221d13750'],
  ],
  ['Ctrl(0x0)/SCSI(1,0)', ['0105080000000000', '0302080001000000']],
  ['Uri(http://x)', ['03180c00687474703a2f2f78']],
  ['MAC(d404e6f05f50,1)', [`030b2500d404e6f05f50${'00'.repeat(26)}01`]],
  ['VenMsg(bc7838d2-0f82-4d60-8316-c068ee79d25b,33e8)', ['030a1600d23878bc820f604d8316c068ee79d25b33e8']],
  ['Msg(99,ab)', ['03630500ab']],
  ['Path(5,99,ab)', ['05630500ab']],
  ['IPv4(0.0.0.0,0,DHCP,0.0.0.0,0.0.0.0,0.0.0.0)', [`030c1b00${'00'.repeat(23)}`]],
  ['IPv4(192.0.2.1:80,TCP,Static,198.51.100.7:4096,192.0.2.254,255.255.255.0)', ['030c1b00c6336407c000020100105000060001c00002feffffff00']],
  ['IPv4(192.0.2.1,UDP,DHCP,198.51.100.7)', ['030c1300c6336407c000020100000000110000']],
  ['IPv6([::],0,Static,[::],[::],0)', [`030d3c00${'00'.repeat(56)}`]],
  [
    'IPv6([2001:db8::1:0:0:1]:443,TCP,StatefulAutoConfigure,[fe80::1],[2001:db8:0:1::],64)',
    [`030d3c00fe80${'00'.repeat(13)}01`, '20010db800000000000100000000000100', '00bb0106000240', '20010db8000000010000000000000000'],
  ],
  ['IPv6([::1],UDP,0x7,[::2])', [`030d2b00${'00'.repeat(15)}02${'00'.repeat(15)}01`, '00000000110007']],
  ['UsbMassStorage(0x781,0x5581,6,80)', ['030f0b0081078155080650']],
  ['UsbDeviceFirmwareUpdate(0x1d6b,0x2,1)', ['030f0b006b1d0200fe0101']],
  ['UsbClass(0xffff,0xffff,255,1,2)', ['030f0b00ffffffffff0102']],
  ['UsbWwid(781,5581,1,A?9)', ['0310100001008107815541000a003900']],
  ['Vlan(7)/Unit(3)/SD(1)/eMMC(0)/UFS(1,0x0a)', ['031406000700', '0311050003', '031a050001', '031d050000', '03190600010a']],
  ['Dns(192.0.2.53,198.51.100.53)', [`031f250000c0000235${'00'.repeat(12)}c6336435${'00'.repeat(12)}`]],
  ['Dns([2001:db8::35])', ['031f15000120010db8000000000000000000000035']],
  ['Ata(0,1,2)', ['0301080000010200']],
  ['USB(1,0),File(\\a)', ['030506000100', '7f010400', '04040a005c0061000000']],
  ['', []],
])('a device path is %s', (text, nodes) => expect(path(...nodes)).toBe(text))
test.each(['040403', '04040300', '0404ff005c00', '04071400ae51', '0404'.padEnd(4, '0')])(
  'a device path of the bytes %s is malformed',
  (hex) => expect(() => devicePathText(Buffer.from(hex, 'hex'))).toThrow(/device path/),
)
test('bytes of any kind are a text of printable characters or malformed, never anything else', () => {
  const node = fc
    .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 35 }), fc.uint8Array({ maxLength: 70 }))
    .map(([type, subtype, body]) => {
      const head = Buffer.from([type, subtype, 0, 0])
      head.writeUInt16LE(4 + body.length, 2)
      return Buffer.concat([head, body])
    })
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
    fc.array(node, { maxLength: 5 }).map((nodes) => Buffer.concat(nodes)),
  )
  fc.assert(
    fc.property(bytes, (path) => {
      try {
        expect(devicePathText(path)).toMatch(/^[\x20-\x7e]*$/)
      } catch (error) {
        if (!isKeylimeError(error)) throw error
        expect(error.code).toBe('malformed')
      }
    }),
    { numRuns: runs(2000, 400) },
  )
})
test('a device path of very many nodes is malformed', () => expect(() => path(...Array(65).fill('01040400'))).toThrow(/more than 64/))

describe('vendor_db', () => {
  const owner = Buffer.alloc(16, 7)
  const certificate = Buffer.from('3082000401020304', 'hex')
  test('is owners and certificates, with what stands before each', () => {
    const signatures = parseVendorDb(Buffer.concat([owner, certificate, owner, Buffer.from('aabb', 'hex'), certificate]))
    expect(signatures.map((s) => s.data)).toEqual(['3082000401020304', 'aabb3082000401020304'])
    expect(signatures[0]!.owner).toBe('07070707-0707-0707-0707-070707070707')
  })
  test.each([
    Buffer.alloc(0),
    owner,
    Buffer.concat([owner, Buffer.alloc(120), certificate]),
    Buffer.concat([owner, certificate.subarray(0, 6)]),
  ])('of bytes %# holds no certificate', (bytes) => expect(() => parseVendorDb(bytes)).toThrow(/no certificate/))
})

describe('lengths that are not true', () => {
  const [variable] = machineEvents('no-secure-boot').filter((e) => e.type === 0x80000001)
  const with64 = (at: number, value: bigint) => {
    const data = Buffer.from(variable!.data)
    data.writeBigUInt64LE(value, at)
    return readEvent(measured(variable!, data))
  }
  test.each([2n ** 32n, 2n ** 63n, 2n ** 64n - 1n, 1000n])('a name or content of %s units is not read', (length) => {
    expect(with64(16, length)).toMatchObject({ kind: 'raw', defect: expect.stringContaining('the variable ends') })
    expect(with64(24, length)).toMatchObject({ kind: 'raw', defect: expect.stringContaining('the variable ends') })
  })
  test('a table of 2^32 partitions is not read', () => {
    const [table] = machineEvents('no-secure-boot').filter((e) => e.type === 0x80000006)
    const data = Buffer.from(table!.data)
    u32(0xffffffff).copy(data, 92)
    expect(readEvent(measured(table!, data))).toMatchObject({ kind: 'raw', defect: expect.stringContaining('partition table') })
  })
})

test('any bytes in any event are read or stay raw, and any log is parsed or malformed', () => {
  const event = changed(machineEvents('no-secure-boot')[0]!)
  fc.assert(
    fc.property(fc.constantFrom(...TYPES), fc.nat(15), fc.uint8Array({ maxLength: 200 }), (type, pcr, bytes) => {
      const other: BootEvent = { ...event, type, pcr, data: Buffer.from(bytes) }
      expect(readEvent(other)).toHaveProperty('kind')
      expect(dataCoverage(other, 'sha256')).toMatch(/^(false|uncovered)$/)
      expect(seeEvents(parseEventLog(serialize([other])), 'sha256')[0]!.standsFor).toMatch(/^[\x20-\x7e]+$/)
      try {
        parseEventLog(Buffer.from(bytes))
      } catch (error) {
        expect(isKeylimeError(error)).toBe(true)
      }
    }),
    { numRuns: runs(500, 150) },
  )
})
