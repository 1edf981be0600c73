"""What the module keeps with the scene."""

# Annotations are not postponed here: parameterNodeWrapper reads them.
from typing import Annotated

from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
)
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from .settings import Device, TrainingMethod, TrainingSource


@parameterNodeWrapper
class DALESegmentParameterNode:
    """Everything that is kept with the scene."""

    token: str
    image: vtkMRMLScalarVolumeNode
    secondImage: vtkMRMLScalarVolumeNode
    thirdImage: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    segment: str
    source: TrainingSource = TrainingSource.scene
    casesFolder: str
    workFolder: str
    method: TrainingMethod = TrainingMethod.dale
    device: Device = Device.auto
    minutes: Annotated[float, WithinRange(0.1, 240.0)] = 5.0
    raters: str  # whose labels of the folder are learned from: "all", or names with commas
    model: str
    probabilities: str  # a folder of class probabilities in place of the model
    previousModel: str
    candidate: str  # a fine-tuned model that waits for the reader to keep it
    heatMap: vtkMRMLScalarVolumeNode
    confidence: vtkMRMLScalarVolumeNode
    heatMapShown: bool = True
    surfaceShown: bool = False
    ticksShown: bool = True
    marksIn3D: bool = False
    heatMapSegment: str
    labelSource: vtkMRMLLabelMapVolumeNode  # why voxels were learned otherwise than given; none where none were
    labelSourceShown: bool = False
    heatMapOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.6
    heatMapThreshold: Annotated[float, WithinRange(0.0, 1.0)] = 0.8
    regionTable: vtkMRMLTableNode
    regionMarkups: vtkMRMLMarkupsFiducialNode
    keys: bool = True
    reviewer: str
    refreshAtOnce: bool = True
    audit: str
    target: vtkMRMLScalarVolumeNode
    result: vtkMRMLSegmentationNode
    comparison: str
