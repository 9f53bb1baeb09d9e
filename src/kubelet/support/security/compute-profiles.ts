/** Seccomp and AppArmor profiles of a container, as CRI wants them. Pure. */
import { join } from 'node:path';
import type { LinuxContainerSecurityContext } from '../../../adapters/cri/generated/runtime/v1/LinuxContainerSecurityContext.ts';
import type { SecurityProfile } from '../../../adapters/cri/generated/runtime/v1/SecurityProfile.ts';
import type { AppArmorProfile, Container, Pod, SeccompProfile } from '../../../objects/generated/core-v1.ts';
import { SecurityContextError } from './security-context-error.ts';

const appArmorAnnotationPrefix = 'container.apparmor.security.beta.kubernetes.io/';

/** @throws {SecurityContextError} for a local profile that is not named or leaves the folder of profiles */
export function seccompOf(
  profile: SeccompProfile | undefined,
  { seccompDefault, seccompRoot }: { seccompDefault: boolean; seccompRoot: string },
): SecurityProfile {
  if (profile === undefined) return { profile_type: seccompDefault ? 'RuntimeDefault' : 'Unconfined' };
  if (profile.type === 'RuntimeDefault') return { profile_type: 'RuntimeDefault' };
  if (profile.type !== 'Localhost') return { profile_type: 'Unconfined' };
  const name = profile.localhostProfile ?? '';
  if (name === '') {
    throw new SecurityContextError('localhostProfile must be set if seccompProfile type is Localhost.');
  }
  if (name.startsWith('/') || name.split('/').includes('..')) {
    throw new SecurityContextError(
      `Cannot use seccomp profile "${name}": expected a path below ${seccompRoot}, without ".."`,
    );
  }
  return { profile_type: 'Localhost', localhost_ref: join(seccompRoot, name) };
}

/** The container's own profile, else its annotation on the pod, else the pod's profile; undefined for none. */
export function appArmorProfileOf(pod: Pod, container: Container): AppArmorProfile | undefined {
  const own = container.securityContext?.appArmorProfile;
  if (own !== undefined) return own;
  const annotation = pod.metadata.annotations?.[`${appArmorAnnotationPrefix}${container.name}`];
  if (annotation === 'runtime/default') return { type: 'RuntimeDefault' };
  if (annotation === 'unconfined') return { type: 'Unconfined' };
  if (annotation?.startsWith('localhost/') === true) {
    return { type: 'Localhost', localhostProfile: annotation.slice('localhost/'.length) };
  }
  return pod.spec.securityContext?.appArmorProfile;
}

/** In the new form, and in the one that older runtimes read. */
export function appArmorFields(
  pod: Pod,
  container: Container,
): Pick<LinuxContainerSecurityContext, 'apparmor' | 'apparmor_profile'> {
  const profile = appArmorProfileOf(pod, container);
  if (profile === undefined) return {};
  if (profile.type === 'RuntimeDefault') {
    return { apparmor: { profile_type: 'RuntimeDefault' }, apparmor_profile: 'runtime/default' };
  }
  if (profile.type !== 'Localhost') {
    return { apparmor: { profile_type: 'Unconfined' }, apparmor_profile: 'unconfined' };
  }
  const name = profile.localhostProfile ?? '';
  if (name === '') throw new SecurityContextError('localhostProfile must be set if appArmorProfile type is Localhost.');
  return {
    apparmor: { profile_type: 'Localhost', localhost_ref: name },
    apparmor_profile: `localhost/${name}`,
  };
}
