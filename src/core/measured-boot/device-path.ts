import { KeylimeError } from '../errors.ts'
import { guidText } from './guid.ts'
import { LittleEndianReader } from './little-endian-reader.ts'
import { hex, MESSAGING_NODES, type NodeText, printable, vendorNode } from './messaging-nodes.ts'

const END = 0x7f
const END_OF_INSTANCE = 0x01
const MAX_NODES = 64
const PNP0A03 = 0x0a0341d0
const PNP0A08 = 0x0a0841d0
const GPT = 2
const MESSAGING = 3

/** Texts of the nodes that lead to something bootable, by type and subtype (UEFI, section 10.3). */
const NODES: Record<string, NodeText> = {
  '1/1': (r) => {
    const fn = r.u8()
    return `Pci(${hex(r.u8())},${hex(fn)})`
  },
  '1/5': (r) => `Ctrl(${hex(r.u32())})`,
  '2/1': (r) => {
    const [id, uid] = [r.u32(), r.u32()]
    if (id === PNP0A03 || id === PNP0A08) return `${id === PNP0A08 ? 'Pcie' : 'Pci'}Root(${hex(uid)})`
    return `Acpi(${hex(id)},${hex(uid)})`
  },
  ...MESSAGING_NODES,
  '4/1': hardDrive,
  '4/2': (r) => `CDROM(${r.u32()},${hex(r.u64())},${hex(r.u64())})`,
  '4/3': vendorNode('VenMedia'),
  '4/4': (r) => `File(${printable(r.bytes(r.remaining).toString('utf16le').replace(/\0+$/, ''))})`,
  '4/6': (r) => `FvFile(${guidText(r.bytes(16))})`,
  '4/7': (r) => `FvVol(${guidText(r.bytes(16))})`,
  '4/8': (r) => {
    r.bytes(4)
    return `Offset(${hex(r.u64())},${hex(r.u64())})`
  },
}

/**
 * A device path as text, in the spelling of upstream's library where it matters (`FvVol(…)/FvFile(…)`) and nearly everywhere else; what is not known shows as its bytes.
 * For people, and to tell the firmware's own applications: no digest covers it. @throws KeylimeError `malformed` when the nodes do not fit into the bytes.
 */
export function devicePathText(bytes: Buffer): string {
  const reader = new LittleEndianReader(bytes, 'the device path')
  const instances: string[][] = [[]]
  for (let count = 0; reader.remaining > 0; count++) {
    if (count >= MAX_NODES) throw new KeylimeError('malformed', `the device path has more than ${MAX_NODES} nodes`)
    const [type, subtype, length] = [reader.u8(), reader.u8(), reader.u16()]
    if (length < 4) throw new KeylimeError('malformed', `a node of the device path has a length of ${length}`)
    const body = reader.bytes(length - 4)
    if (type === END && subtype !== END_OF_INSTANCE) break
    if (type === END) instances.push([])
    else instances.at(-1)!.push(nodeText(type, subtype, body))
  }
  return instances.map((nodes) => nodes.join('/')).join(',')
}

function nodeText(type: number, subtype: number, body: Buffer): string {
  const node = NODES[`${type}/${subtype}`]
  if (node) return node(new LittleEndianReader(body, 'a node of the device path'))
  return `${type === MESSAGING ? 'Msg(' : `Path(${type},`}${subtype},${body.toString('hex')})`
}

function hardDrive(reader: LittleEndianReader): string {
  const number = reader.u32()
  const [start, size] = [hex(reader.u64()), hex(reader.u64())]
  const signature = reader.bytes(16)
  reader.u8()
  const isGpt = reader.u8() === GPT
  return `HD(${number},${isGpt ? 'GPT' : 'MBR'},${isGpt ? guidText(signature) : hex(signature.readUInt32LE(0))},${start},${size})`
}
