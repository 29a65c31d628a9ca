import { type Option, option, optionalHost, options, port } from './option.ts'

/** Where figures for Prometheus are, and whether the service can do its work; the same for verifier and registrar. @param defaultPort of this role. */
export const metricsOptions = (defaultPort: number): { metrics_ip: Option<string>; metrics_port: Option<number> } =>
  options({
    metrics_ip: option({
      parse: optionalHost,
      default: '',
      ours: true,
      doc: 'Address of a separate listener for `/metrics` (Prometheus), `/healthz` and `/readyz`, over plain HTTP. Use 127.0.0.1, or an address of your administration network. If it is empty, there is no such listener.',
    }),
    metrics_port: option({ parse: port, default: defaultPort, ours: true, doc: 'Port of that listener.' }),
  })
