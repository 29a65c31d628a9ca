import { guidText } from './guid.ts'
import type { LittleEndianReader } from './little-endian-reader.ts'

/** The text of a node's body. */
export type NodeText = (reader: LittleEndianReader) => string

export const hex = (value: number): string => `0x${value.toString(16)}`
export const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?')

/** Of a vendor, with whatever he put behind his GUID. */
export const vendorNode =
  (name: string): NodeText =>
  (r) => {
    const guid = guidText(r.bytes(16))
    const rest = r.bytes(r.remaining).toString('hex')
    return `${name}(${guid}${rest ? `,${rest}` : ''})`
  }

/** Messaging nodes, type 3, by subtype (UEFI 2.10, sections 10.3.4 and 10.6). */
export const MESSAGING_NODES: Record<string, NodeText> = {
  '3/1': (r) => `Ata(${r.u8()},${r.u8()},${r.u16()})`,
  '3/2': (r) => `SCSI(${r.u16()},${r.u16()})`,
  '3/5': (r) => `USB(${r.u8()},${r.u8()})`,
  '3/10': vendorNode('VenMsg'),
  '3/11': (r) => {
    const address = r.bytes(32)
    const type = r.u8()
    return `MAC(${address.toString('hex', 0, type <= 1 ? 6 : 32)},${type})`
  },
  '3/12': ipv4Node,
  '3/13': ipv6Node,
  '3/15': usbClass,
  '3/16': (r) => {
    const [port, vendor, product] = [r.u16(), r.u16(), r.u16()]
    return `UsbWwid(${vendor.toString(16)},${product.toString(16)},${port},${printable(r.bytes(r.remaining).toString('utf16le').replace(/\0+$/, ''))})`
  },
  '3/17': (r) => `Unit(${r.u8()})`,
  '3/18': (r) => `Sata(${r.u16()},${r.u16()},${r.u16()})`,
  '3/20': (r) => `Vlan(${r.u16()})`,
  '3/23': (r) => `NVMe(${hex(r.u32())},${r.bytes(8).toString('hex').toUpperCase().match(/../g)!.join('-')})`,
  '3/24': (r) => `Uri(${printable(r.bytes(r.remaining).toString('latin1'))})`,
  '3/25': (r) => `UFS(${r.u8()},0x${r.u8().toString(16).padStart(2, '0')})`,
  '3/26': (r) => `SD(${r.u8()})`,
  '3/29': (r) => `eMMC(${r.u8()})`,
  '3/31': (r) => {
    const address = r.u8() === 0 ? (bytes: Buffer) => ipv4(bytes.subarray(0, 4), 0) : (bytes: Buffer) => ipv6(bytes, 0)
    const addresses: string[] = []
    while (r.remaining >= 16) addresses.push(address(r.bytes(16)))
    return `Dns(${addresses.join(',')})`
  },
}

/** Firmware before UEFI 2.5 leaves out the gateway and the mask. */
function ipv4Node(r: LittleEndianReader): string {
  const [local, remote] = [r.bytes(4), r.bytes(4)]
  const [localPort, remotePort, protocol, isStatic] = [r.u16(), r.u16(), r.u16(), r.u8() !== 0]
  const rest = r.remaining >= 8 ? [ipv4(r.bytes(4), 0), ipv4(r.bytes(4), 0)] : []
  return `IPv4(${[ipv4(remote, remotePort), protocolName(protocol), isStatic ? 'Static' : 'DHCP', ipv4(local, localPort), ...rest].join(',')})`
}

const ORIGINS = ['Static', 'StatelessAutoConfigure', 'StatefulAutoConfigure']

function ipv6Node(r: LittleEndianReader): string {
  const [local, remote] = [r.bytes(16), r.bytes(16)]
  const [localPort, remotePort, protocol, origin] = [r.u16(), r.u16(), r.u16(), r.u8()]
  const prefix = r.remaining >= 17 ? r.u8() : null
  const rest = prefix === null ? [] : [ipv6(r.bytes(16), 0), prefix]
  return `IPv6(${[ipv6(remote, remotePort), protocolName(protocol), ORIGINS[origin] ?? hex(origin), ipv6(local, localPort), ...rest].join(',')})`
}

const withPort = (address: string, port: number): string => (port === 0 ? address : `${address}:${port}`)
const ipv4 = (bytes: Buffer, port: number): string => withPort(bytes.join('.'), port)

/** As RFC 5952 writes it, which is also the form of a URL. */
function ipv6(bytes: Buffer, port: number): string {
  const groups = bytes.toString('hex').match(/..../g)!.join(':')
  return withPort(new URL(`http://[${groups}]`).hostname, port)
}

const protocolName = (protocol: number): string => ({ 6: 'TCP', 17: 'UDP' })[protocol] ?? String(protocol)

const USB_CLASSES: Record<number, string> = {
  1: 'UsbAudio',
  2: 'UsbCDCControl',
  3: 'UsbHID',
  6: 'UsbImage',
  7: 'UsbPrinter',
  8: 'UsbMassStorage',
  9: 'UsbHub',
  10: 'UsbCDCData',
  11: 'UsbSmartCard',
  14: 'UsbVideo',
  220: 'UsbDiagnostic',
  224: 'UsbWireless',
}
/** Subclasses of class 254. */
const USB_APPLICATIONS: Record<number, string> = { 1: 'UsbDeviceFirmwareUpdate', 2: 'UsbIrdaBridge', 3: 'UsbTestAndMeasurement' }
const APPLICATION_SPECIFIC = 254

function usbClass(r: LittleEndianReader): string {
  const ids = `${hex(r.u16())},${hex(r.u16())}`
  const [kind, subclass, protocol] = [r.u8(), r.u8(), r.u8()]
  const application = kind === APPLICATION_SPECIFIC ? USB_APPLICATIONS[subclass] : undefined
  if (application) return `${application}(${ids},${protocol})`
  const name = USB_CLASSES[kind]
  return name ? `${name}(${ids},${subclass},${protocol})` : `UsbClass(${ids},${kind},${subclass},${protocol})`
}
