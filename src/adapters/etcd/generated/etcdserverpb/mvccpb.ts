// Original file: etcd-v3.proto


export interface mvccpb {
}

export interface mvccpb__Output {
}
