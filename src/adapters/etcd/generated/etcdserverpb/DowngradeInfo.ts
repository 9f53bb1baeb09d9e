// Original file: etcd-v3.proto


export interface DowngradeInfo {
  'enabled'?: (boolean);
  'targetVersion'?: (string);
}

export interface DowngradeInfo__Output {
  'enabled': (boolean);
  'targetVersion': (string);
}
