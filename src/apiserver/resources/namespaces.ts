import type { Namespace } from '../../objects/generated/core-v1.ts';
import { textAt } from './api-object.ts';
import { namespaceColumns } from './print-others.ts';
import { type Strategy, typed } from './resource.ts';

const nameLabel = 'kubernetes.io/metadata.name';

export const namespaceStrategy: Strategy = {
  nameRule: 'label',
  deleteReturnsObject: true,
  columns: namespaceColumns,
  selectableFields: { 'status.phase': (namespace) => textAt(namespace, 'status', 'phase') },

  prepareCreate(object) {
    const namespace = typed<Namespace>(object);
    const finalizers = namespace.spec?.finalizers ?? [];
    namespace.spec = { finalizers: finalizers.includes('kubernetes') ? finalizers : [...finalizers, 'kubernetes'] };
    namespace.status = { phase: 'Active' };
    namespace.metadata.labels = { ...namespace.metadata.labels, [nameLabel]: namespace.metadata.name };
  },

  prepareUpdate(object, old) {
    const namespace = typed<Namespace>(object);
    // the finalizers of the spec have a subresource of their own
    namespace.spec = typed<Namespace>(old).spec;
    namespace.metadata.labels = { ...namespace.metadata.labels, [nameLabel]: namespace.metadata.name };
  },
};
