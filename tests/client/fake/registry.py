"""Models, datasets and the catalog of the fake."""

# ruff: noqa: N802 - the contract's names
from __future__ import annotations

from sparring.v1 import catalog_pb2, catalog_pb2_grpc, datasets_pb2, datasets_pb2_grpc, models_pb2, models_pb2_grpc


class Registry(models_pb2_grpc.ModelServiceServicer, datasets_pb2_grpc.DatasetServiceServicer):
    def __init__(self):
        super().__init__()
        self.models, self.datasets = {}, {}
        self.checks = 0  # GetModel and GetDataset answers that still say CHECKING
        self.verdict = None  # Status that checks end with

    def checked(self, thing):
        if self.checks > 0:
            self.checks -= 1
        elif self.verdict is not None:
            thing.state = thing.STATE_REJECTED
            thing.error.CopyFrom(self.verdict)
        else:
            thing.state = thing.STATE_READY
        return thing

    def RegisterModel(self, request, context):
        self.enter("RegisterModel", request, context)
        name = f"models/{request.model_id}"
        self.models[name] = models_pb2.Model(
            name=name, state="STATE_CHECKING", signature=request.signature, weights=request.weights
        )
        return self.models[name]

    def GetModel(self, request, context):
        self.enter("GetModel", request, context)
        if request.name not in self.models:
            self.missing(context, request.name)
        return self.checked(self.models[request.name])

    def ListModels(self, request, context):
        self.enter("ListModels", request, context)
        return models_pb2.ListModelsResponse(models=self.models.values())

    def DeleteModel(self, request, context):
        self.enter("DeleteModel", request, context)
        if self.models.pop(request.name, None) is None:
            self.missing(context, request.name)
        return models_pb2.DeleteModelResponse()

    def RegisterDataset(self, request, context):
        self.enter("RegisterDataset", request, context)
        name = f"datasets/{request.dataset_id}"
        self.datasets[name] = datasets_pb2.Dataset(name=name, state="STATE_CHECKING", classes=request.classes)
        return self.datasets[name]

    def GetDataset(self, request, context):
        self.enter("GetDataset", request, context)
        if request.name not in self.datasets:
            self.missing(context, request.name)
        return self.checked(self.datasets[request.name])

    def ListDatasets(self, request, context):
        self.enter("ListDatasets", request, context)
        return datasets_pb2.ListDatasetsResponse(datasets=self.datasets.values())

    def DeleteDataset(self, request, context):
        self.enter("DeleteDataset", request, context)
        if self.datasets.pop(request.name, None) is None:
            self.missing(context, request.name)
        return datasets_pb2.DeleteDatasetResponse()


class Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    def GetServerInfo(self, request, context):
        self.enter("GetServerInfo", request, context)
        worker = catalog_pb2.WorkerInfo(id="host-1", device="cpu", device_name="a processor", last_seen_s=0.5)
        return catalog_pb2.ServerInfo(version="0.1.0", max_artifact_bytes=2**31, workers=[worker], store_used=0.25)

    def ListAttacks(self, request, context):
        self.enter("ListAttacks", request, context)
        steps = catalog_pb2.ParameterInfo(name="steps", type="uint32", minimum=1, maximum=10000, default_value="20")
        bim = catalog_pb2.MethodInfo(name="bim", title="Basic iterative method", paper="1607.02533", parameters=[steps])
        return catalog_pb2.ListAttacksResponse(attacks=[bim])

    def ListDefenses(self, request, context):
        self.enter("ListDefenses", request, context)
        standard = catalog_pb2.MethodInfo(name="standard", title="Standard training")
        return catalog_pb2.ListDefensesResponse(defenses=[standard])

    def ListPoisons(self, request, context):
        self.enter("ListPoisons", request, context)
        backdoor = catalog_pb2.MethodInfo(name="backdoor", title="Backdoor", paper="1708.06733")
        return catalog_pb2.ListPoisonsResponse(poisons=[backdoor])

    def ListArchitectures(self, request, context):
        self.enter("ListArchitectures", request, context)
        small = catalog_pb2.ArchitectureInfo(name="wong_cnn", description="The small net of Wong", paper="2001.03994")
        return catalog_pb2.ListArchitecturesResponse(architectures=[small])

    def ListBuiltInDatasets(self, request, context):
        self.enter("ListBuiltInDatasets", request, context)
        return catalog_pb2.ListBuiltInDatasetsResponse(datasets=[datasets_pb2.Dataset(name="datasets/mnist10k")])
