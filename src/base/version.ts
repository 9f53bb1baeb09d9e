/** The Kubernetes version that we are compatible with, and our own. */
export const kubernetesVersion = { major: '1', minor: '36', gitVersion: 'v1.36.0' } as const;
export const gantrySemver = '0.1.0';
/** What the node reports as kubelet version, and the API server as `gitVersion`. */
export const gantryVersion = `${kubernetesVersion.gitVersion}+gantry.${gantrySemver}`;
