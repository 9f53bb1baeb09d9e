// Original file: csi-v1.proto


export interface GetPluginInfoRequest {
}

export interface GetPluginInfoRequest__Output {
}
