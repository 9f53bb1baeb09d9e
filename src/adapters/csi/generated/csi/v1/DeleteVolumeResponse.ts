// Original file: csi-v1.proto


export interface DeleteVolumeResponse {
}

export interface DeleteVolumeResponse__Output {
}
