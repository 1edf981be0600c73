"""What was found in a label and decided about it, as a DICOM structured report (Comprehensive 3D SR, PS3.3 A.35.13)
after TID 1500: a measurement group for each region, which refers to its segment in a DICOM segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .dicom_objects import Provenance, as_text, identity, person_name, quietly, tracking_uid
from .terminology import codes_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SCHEME = "99DALESEGMENT"
"""Of the codes that no public list has. PS3.16, 8.2: private schemes begin with 99."""
VERDICTS = {
    "confirmed": "Label confirmed as it is",
    "accepted": "Suggested outline accepted",
    "corrected": "Label corrected by hand",
    "unsure": "Reader unsure",
    "open": "Not yet reviewed",
}
SUSPICIONS = {
    "too large": "Label too large",
    "too small": "Label too small",
    "missing": "Object missing in the label",
    "extra": "Extra object in the label",
}


@dataclass(frozen=True)
class Finding:
    """A region of a label and what was decided about it. segment: its number in the segmentation; tracking: a name that
    stays the same in later reports; at: ISO 8601, "" where nobody has decided; signed: the reader's
    role, instruction and reason, in words."""

    segment: int
    tracking: str
    class_name: str
    suspicion: str
    volume_mm3: float
    confidence: float
    sentence: str
    verdict: str = "open"
    reader: str = ""
    at: str = ""
    signed: str = ""


def review_report(
    findings: Sequence[Finding], segmentation: Dataset, images: Sequence[Dataset], made: Provenance
) -> Dataset:
    """The report about the regions of `segmentation`. It is complete once all of them are decided, and never verified:
    that is the clinic's word."""
    from highdicom.sr import Comprehensive3DSR, MeasurementReport, ObservationContext
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    readers = [finding.reader for finding in findings if finding.reader]
    with quietly():
        device = _device(made)
        context = ObservationContext(
            observer_person_context=_person(made.reviewer or readers[0]) if made.reviewer or readers else None,
            observer_device_context=device,
        )
        report = MeasurementReport(
            observation_context=context,
            procedure_reported=Code("363679005", "SCT", "Imaging procedure"),
            title=codes.DCM.ImagingMeasurementReport,
            imaging_measurements=[_group(finding, segmentation, images, made) for finding in findings],
        )
        return Comprehensive3DSR(
            evidence=[segmentation, *images],
            content=report[0],
            **{**identity("report", made), "series_description": as_text(f"Review of a label, {made.words}")},
            is_complete=bool(findings) and all(finding.verdict != "open" for finding in findings),
            is_final=False,
            specific_character_set="ISO_IR 192",
            coding_schemes=[_scheme()],
        )


def _group(finding: Finding, segmentation: Dataset, images: Sequence[Dataset], made: Provenance) -> Any:
    from highdicom.sr import (
        Measurement,
        QualitativeEvaluation,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    category, kind = codes_of(finding.class_name)
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(images, finding.tracking), as_text(finding.tracking)),
        referenced_segment=ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            finding.segment,
            source_series=SourceSeriesForSegmentation(images[0].SeriesInstanceUID),
        ),
        finding_category=category,
        finding_type=kind,
        measurements=[
            Measurement(codes.SCT.Volume, float(finding.volume_mm3), codes.UCUM.CubicMillimeter),
            Measurement(_own("confidence", "Mean label confidence"), float(finding.confidence), codes.UCUM.NoUnits),
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(
                _own("suspicion", "Suspected label error"), _own(finding.suspicion, SUSPICIONS[finding.suspicion])
            ),
            QualitativeEvaluation(
                _own("verdict", "Verdict of the review"), _own(finding.verdict, VERDICTS[finding.verdict])
            ),
        ],
    )
    content = group[0].ContentSequence
    if finding.reader:
        for item in reversed(_person(finding.reader)):
            content.insert(2, item)  # after the tracking identifiers
    content.append(_comment(finding, Code("121106", "DCM", "Comment")))
    moment = _moment(finding.at)
    if moment:
        group[0].ObservationDateTime = moment
    return group


def _person(name: str) -> Any:
    from highdicom.sr import ObserverContext, PersonObserverIdentifyingAttributes
    from pydicom.sr.codedict import codes

    return ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes(person_name(name)))


def _device(made: Provenance) -> Any:
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
    from pydicom.sr.codedict import codes

    own = DeviceObserverIdentifyingAttributes(
        uid=_device_uid(made),
        name="DALESegment",
        manufacturer_name="DALESegment",
        model_name=as_text(f"DALESegment {made.model}"),
        serial_number=as_text(made.serial),
    )
    return ObserverContext(codes.DCM.Device, own)


def _device_uid(made: Provenance) -> str:
    import hashlib

    digest = hashlib.blake2b(f"{made.serial} {made.version}".encode(), digest_size=16).digest()
    return f"2.25.{int.from_bytes(digest, 'big')}"


def _comment(finding: Finding, name: Any) -> Any:
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    words = [finding.class_name, finding.sentence or SUSPICIONS[finding.suspicion]]
    if finding.reader:
        words.append(f"{VERDICTS[finding.verdict]}, {finding.reader}, {finding.at}")
        words.append(finding.signed)
    text = ". ".join(word.rstrip(". ") for word in words if word) + "."
    return TextContentItem(name, text, RelationshipTypeValues.CONTAINS)


def _own(value: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value.replace(" ", "-"), SCHEME, meaning)


def _scheme() -> Any:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return CodingSchemeIdentificationItem(
        designator=SCHEME, name="Codes of DALESegment", responsible_organization="DALESegment"
    )


def _moment(at: str) -> str:
    """As DICOM writes a time (DT), in UTC where the zone is known; "" for what is no time."""
    try:
        moment = datetime.fromisoformat(at.replace("Z", "+00:00"))
    except ValueError:
        return ""
    if moment.tzinfo is None:
        return moment.strftime("%Y%m%d%H%M%S")
    return moment.astimezone(timezone.utc).strftime("%Y%m%d%H%M%S+0000")
