/**
 * Requests for certificates, and authorities that pods may trust. `certificates.k8s.io/v1beta1` is off unless
 * `--runtime-config` says otherwise.
 */
import { X509Certificate } from 'node:crypto';
import type { CertificateSigningRequest } from '../../objects/generated/certificates-v1.ts';
import type { ClusterTrustBundle, PodCertificateRequest } from '../../objects/generated/certificates-v1beta1.ts';
import { type ApiObject, isSameMeaning, listAt, textAt } from './api-object.ts';
import { type FieldError, immutable, invalidValue, required } from './field-errors.ts';
import { certificateSigningRequestColumns } from './print-others.ts';
import { type TableColumns, columns } from './print-table.ts';
import { type Strategy, typed } from './resource.ts';
import { subdomainProblems } from './validate-names.ts';

const lifetimeMinS = 3600;
const lifetimeMaxS = 91 * 86_400;
const lifetimeDefaultS = 86_400;

const trustBundleColumns: TableColumns = {
  columns: columns('Name', 'SignerName'),
  cells: (object) => [object.metadata.name, textAt(object, 'spec', 'signerName') || '<none>'],
};

const podRequestColumns: TableColumns = {
  columns: columns('Name', 'PodName', 'ServiceAccountName', 'NodeName', 'SignerName', 'State'),
  cells(object) {
    const { metadata, spec, status } = typed<PodCertificateRequest>(object);
    const outcomes = ['Issued', 'Denied', 'Failed'];
    const types = listAt({ status }, 'status', 'conditions').map((condition) => textAt(condition, 'type'));
    const state = outcomes.find((type) => types.includes(type)) ?? 'Pending';
    return [metadata.name, spec.podName, spec.serviceAccountName, spec.nodeName, spec.signerName, state];
  },
};

export const certificateStrategies: Readonly<Record<string, Strategy>> = {
  'certificatesigningrequests.certificates.k8s.io': {
    nameRule: 'subdomain',
    columns: certificateSigningRequestColumns,
    selectableFields: { 'spec.signerName': (request) => textAt(request, 'spec', 'signerName') },
    validate(object) {
      const { spec } = typed<CertificateSigningRequest>(object);
      const pem = Buffer.from(spec?.request ?? '', 'base64').toString();
      const errors: FieldError[] = [];
      if (!pem.includes('-----BEGIN CERTIFICATE REQUEST-----')) {
        errors.push(invalidValue('spec.request', spec?.request, 'PEM block type must be CERTIFICATE REQUEST'));
      }
      if ((spec?.usages ?? []).length === 0) errors.push(required('spec.usages'));
      if (!spec?.signerName) errors.push(required('spec.signerName'));
      return errors;
    },
    prepareUpdate(object, old) {
      object['spec'] = old['spec'];
    },
  },
  'clustertrustbundles.certificates.k8s.io': {
    nameRule: 'segment',
    columns: trustBundleColumns,
    selectableFields: { 'spec.signerName': (bundle) => textAt(bundle, 'spec', 'signerName') },
    validate(object) {
      const { metadata, spec } = typed<ClusterTrustBundle>(object);
      const problems = bundleNameProblems(metadata.name, spec?.signerName ?? '');
      return [
        ...problems.map((problem) => invalidValue('metadata.name', metadata.name, problem)),
        ...anchorProblems(spec?.trustBundle ?? '').map((problem) =>
          invalidValue('spec.trustBundle', '<value omitted>', problem),
        ),
      ];
    },
    validateUpdate: (object, old) =>
      textAt(object, 'spec', 'signerName') === textAt(old, 'spec', 'signerName')
        ? []
        : [immutable('spec.signerName', textAt(object, 'spec', 'signerName'))],
  },
  'podcertificaterequests.certificates.k8s.io': {
    nameRule: 'subdomain',
    columns: podRequestColumns,
    selectableFields: {
      'spec.signerName': (request) => textAt(request, 'spec', 'signerName'),
      'spec.podName': (request) => textAt(request, 'spec', 'podName'),
      'spec.nodeName': (request) => textAt(request, 'spec', 'nodeName'),
    },
    applyDefaults(object) {
      const { spec } = typed<PodCertificateRequest>(object);
      if (spec !== undefined) spec.maxExpirationSeconds ??= lifetimeDefaultS;
    },
    validate: validatePodRequest,
    validateUpdate: (object, old) =>
      isSameMeaning(object['spec'], old['spec']) ? [] : [immutable('spec', object['spec'])],
  },
};

/** Bundles of a signer have its name in theirs, others have no colon. */
function bundleNameProblems(name: string, signerName: string): string[] {
  if (signerName === '') {
    return name.includes(':')
      ? ['ClusterTrustBundle without signer name must not have ":" in its name']
      : subdomainProblems(name);
  }
  const prefix = `${signerName.replaceAll('/', ':')}:`;
  return name.startsWith(prefix)
    ? subdomainProblems(name.slice(prefix.length))
    : [`ClusterTrustBundle for signerName ${signerName} must be named with prefix ${prefix}`];
}

/** What is not a list of different certificates. */
function anchorProblems(pem: string): string[] {
  const blocks = [...pem.matchAll(/-----BEGIN ([^-]+)-----\r?\n([\s\S]*?)-----END \1-----/g)];
  const seen = new Map<string, number>();
  for (const [i, [block, type, body = '']] of blocks.entries()) {
    if (type !== 'CERTIFICATE') return [`entry ${i} has bad block type: ${type}`];
    if (body.includes(':')) return [`entry ${i} has headers`];
    let fingerprint: string;
    try {
      fingerprint = new X509Certificate(block).fingerprint256;
    } catch (err) {
      return [`entry ${i} does not parse as X.509: ${err instanceof Error ? err.message : String(err)}`];
    }
    const first = seen.get(fingerprint);
    if (first !== undefined) return [`duplicate trust anchor (indices [${first} ${i}])`];
    seen.set(fingerprint, i);
  }
  return blocks.length === 0 ? ['at least one trust anchor must be provided'] : [];
}

function validatePodRequest(object: ApiObject): FieldError[] {
  const { spec } = typed<PodCertificateRequest>(object);
  const fields = [
    'signerName',
    'podName',
    'podUID',
    'serviceAccountName',
    'serviceAccountUID',
    'nodeName',
    'nodeUID',
    'stubPKCS10Request',
  ] as const;
  const errors = fields.filter((field) => !spec?.[field]).map((field) => required(`spec.${field}`));
  const seconds = spec?.maxExpirationSeconds ?? lifetimeDefaultS;
  if (seconds < lifetimeMinS || seconds > lifetimeMaxS) {
    const detail = `must be in the range [${lifetimeMinS}, ${lifetimeMaxS}]`;
    errors.push(invalidValue('spec.maxExpirationSeconds', seconds, detail));
  }
  return errors;
}
