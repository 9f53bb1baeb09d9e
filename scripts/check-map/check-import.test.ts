import { describe, expect, it } from 'vitest';
import { checkImport, checkPackage, packageOf, placeOf } from './check-import.ts';

describe('checkImport', () => {
  const step = 'src/kubelet/execute/sandbox-run.ts';
  const support = 'src/kubelet/support/volumes/volumes.ts';
  it.each([
    { name: 'a room uses its own files', from: step, to: 'src/kubelet/execute/pod-names.ts', may: true },
    { name: 'a step uses the pod model', from: step, to: 'src/kubelet/pod-model.ts', may: true },
    {
      name: 'a room uses the volume model',
      from: 'src/kubelet/support/volumes/volumes.ts',
      to: 'src/kubelet/volume-model.ts',
      may: true,
    },
    { name: 'a step uses no other file beside it', from: step, to: 'src/kubelet/config.ts', may: false },
    { name: 'a step uses objects', from: step, to: 'src/objects/quantity.ts', may: true },
    { name: 'a step uses types of an adapter', from: step, to: 'src/adapters/cri/cri.ts', isType: true, may: true },
    { name: 'a step does not use an adapter', from: step, to: 'src/adapters/cri/cri.ts', may: false },
    { name: 'a step does not use the informer', from: step, to: 'src/client/informer.ts', may: false },
    { name: "a step uses the client's vocabulary", from: step, to: 'src/client/resource-types.ts', may: true },
    { name: 'a step does not use another', from: step, to: 'src/kubelet/observe/observe.ts', may: false },
    {
      name: 'not even types of another step',
      from: step,
      to: 'src/kubelet/observe/observe.ts',
      isType: true,
      may: false,
    },
    { name: 'a step does not use support', from: step, to: 'src/kubelet/support/images/images.ts', may: false },
    { name: 'support does not use support', from: support, to: 'src/kubelet/support/images/images.ts', may: false },
    { name: 'support does not use the line', from: support, to: 'src/kubelet/desired/desired.ts', may: false },
    { name: 'kubelet.ts plugs everything in', from: 'src/kubelet/kubelet.ts', to: support, may: true },
    { name: 'kubelet.ts makes adapters', from: 'src/kubelet/kubelet.ts', to: 'src/adapters/cri/cri.ts', may: true },
    { name: 'a product does not use another', from: 'src/lab/lab.ts', to: 'src/proxy/proxy.ts', may: false },
    { name: 'a product uses bootstrap', from: 'src/lab/lab.ts', to: 'src/bootstrap/pki.ts', may: true },
    { name: 'a product does not use commands', from: 'src/lab/lab.ts', to: 'src/commands/lab.ts', may: false },
    { name: 'commands use products', from: 'src/commands/lab.ts', to: 'src/lab/lab.ts', may: true },
    { name: 'nobody uses main', from: 'src/commands/lab.ts', to: 'src/main.ts', may: false },
    { name: 'main uses commands', from: 'src/main.ts', to: 'src/commands/lab.ts', may: true },
    { name: 'main does not use products', from: 'src/main.ts', to: 'src/lab/lab.ts', may: false },
    { name: 'the client uses adapters', from: 'src/client/client.ts', to: 'src/adapters/host/host.ts', may: true },
    { name: 'the client is below products', from: 'src/client/client.ts', to: 'src/kubelet/pod-model.ts', may: false },
    {
      name: 'an adapter runs processes',
      from: 'src/adapters/cni/cni.ts',
      to: 'src/adapters/processes/processes.ts',
      may: true,
    },
    { name: 'an adapter uses no other', from: 'src/adapters/cni/cni.ts', to: 'src/adapters/cri/cri.ts', may: false },
    {
      name: 'nor types of another',
      from: 'src/adapters/cni/cni.ts',
      to: 'src/adapters/cri/cri.ts',
      isType: true,
      may: false,
    },
    { name: 'objects use base', from: 'src/objects/qos.ts', to: 'src/base/errors.ts', may: true },
    { name: 'base uses nobody', from: 'src/base/grpc.ts', to: 'src/objects/qos.ts', may: false },
    { name: 'a room that nobody knows is told', from: 'src/attic/x.ts', to: 'src/base/errors.ts', may: false },
  ])('$name', ({ from, to, isType = false, may }) => {
    const problem = checkImport(from, to, isType);
    if (may) expect(problem).toBeUndefined();
    else expect(problem).toMatch(/\w+ \w+/);
  });
});

describe('checkPackage', () => {
  const dependencies = ['execa', 'yaml', '@grpc/grpc-js', 'pino'];
  it.each([
    { from: 'src/adapters/processes/processes.ts', name: 'execa', may: true },
    { from: 'src/lab/lab.ts', name: 'execa', may: false },
    { from: 'src/base/logger.ts', name: 'pino', may: true },
    { from: 'src/base/grpc.ts', name: 'pino', may: false },
    { from: 'src/adapters/cri/generated/cri-v1.ts', name: '@grpc/grpc-js', isType: true, may: true },
    { from: 'src/adapters/cri/generated/cri-v1.ts', name: '@grpc/grpc-js', may: false },
    { from: 'src/client/kubeconfig.ts', name: 'yaml', may: true },
    { from: 'src/client/kubeconfig.ts', name: 'left-pad', may: false },
  ])('$from importing $name: $may', ({ from, name, isType = false, may }) => {
    expect(checkPackage(from, name, isType, dependencies) === undefined).toBe(may);
  });
});

describe('packageOf', () => {
  it.each([
    ['yaml', 'yaml'],
    ['yaml/util', 'yaml'],
    ['@grpc/grpc-js', '@grpc/grpc-js'],
    ['@grpc/grpc-js/build/src', '@grpc/grpc-js'],
  ])('%s is of %s', (specifier, want) => expect(packageOf(specifier)).toBe(want));
});

describe('placeOf', () => {
  it.each([
    ['src/main.ts', 'main', 'main'],
    ['src/kubelet/kubelet.ts', 'kubelet', 'kubelet'],
    ['src/kubelet/desired/merge.ts', 'kubelet', 'kubelet/desired'],
    ['src/kubelet/support/volumes/tmpfs.ts', 'kubelet', 'kubelet/support/volumes'],
    ['src/adapters/cri/generated/cri-v1.ts', 'adapters', 'adapters/cri'],
    ['src/apiserver/storage/storage.ts', 'apiserver', 'apiserver'],
  ])('%s is in %s, %s', (path, area, room) => expect(placeOf(path)).toEqual({ area, room }));
});
