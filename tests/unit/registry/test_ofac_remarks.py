"""Reading the remarks of sanctions records. Numbers with DEMO in them are nobody's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.entries import SubjectType
from portcullis.registry.readers.ofac.labels import label_of
from portcullis.registry.readers.ofac.remarks import read_remark
from tests.support.people import resident_id, uscc

PERSON, ORGANISATION, VESSEL = SubjectType.PERSON, SubjectType.ORGANISATION, SubjectType.VESSEL


def found(text: str, subject: SubjectType = PERSON) -> list[tuple[str, str, str]]:
    return [(each.kind, each.value, each.country) for each in read_remark(text, subject).identifiers]


@pytest.mark.parametrize(
    ("clause", "kind", "value", "country"),
    [
        ("Passport DEMO0001 (Iran) expires 20 Jan 2020", "passport", "DEMO0001", "IR"),
        ("Passport DEMO0001 (Iran) issued 01 Jan 2008 to 31 Dec 2010", "passport", "DEMO0001", "IR"),
        ("Passport DEMO0001", "passport", "DEMO0001", ""),
        ("alt. Passport RL DEMO0001 (Lebanon)", "passport", "RL DEMO0001", "LB"),
        ("Passport Booklet: DEMO0001 (Pakistan)", "passport", "DEMO0001", "PK"),
        ("Passport #DEMO0001 (Iraq)", "passport", "DEMO0001", "IQ"),
        ("Passport DEMO0001, Diplomatic (Syria)", "passport", "DEMO0001", "SY"),
        ("Passport DEMO0001 Colombia", "passport", "DEMO0001", "CO"),
        ("Passport No.: DEMO0001, Eritrea, Issue Date 21 August 2006", "passport", "DEMO0001", "ER"),
        ("Passport C DEMO0001 - 16/2/1421H issued 21 May 2000", "passport", "C DEMO0001", ""),
        ("Passport DEMO0001 and Kuwaiti National ID No. DEMO2 issued under another name", "passport", "DEMO0001", ""),
        ("Passport DEMO0001(0) (United Kingdom)", "passport", "DEMO0001(0)", "GB"),
        ("Diplomatic Passport Laissez-Passer 0DEMO1", "passport", "0DEMO1", ""),
        ("Passport DEMO0001 (Congo, Democratic Republic of the)", "passport", "DEMO0001", "CD"),
        ("Passport DEMO0001 (Cabo Verde.  Previously Cape Verde.)", "passport", "DEMO0001", "CV"),
        ("Travel Document Number DEMO0001 (Germany)", "passport", "DEMO0001", "DE"),
        ("Cedula No. 00DEMO1 (Colombia)", "national-id", "00DEMO1", "CO"),
        ("C.U.R.P. DEMO0001 (Mexico) issued 1968", "national-id", "DEMO0001", "MX"),
        ("D.N.I. 00.DEMO.001 (Spain)", "national-id", "00.DEMO.001", "ES"),
        ("National ID No. 13/Demo (Naing) 000001 (Burma)", "national-id", "13/Demo (Naing) 000001", "MM"),
        ("National ID No. CNIC: 00000-DEMO001-9 (Pakistan)", "national-id", "00000-DEMO001-9", "PK"),
        ("UAE Identification 784-DEMO-0000001-5", "national-id", "784-DEMO-0000001-5", "AE"),
        ("R.F.C. # DEM-000101-AB1 (Mexico)", "tax-id", "DEM-000101-AB1", "MX"),
        ("RFC DEMO-000101-AB1", "tax-id", "DEMO-000101-AB1", "MX"),
        ("NIT # 000DEMO01-5 (Colombia)", "tax-id", "000DEMO01-5", "CO"),
        ("V.A.T. Number Goztepe V.D. 000 DEMO 01 (Turkey)", "tax-id", "000 DEMO 01", "TR"),
        ("V.A.T. Number XX 000,000,001", "tax-id", "XX 000000001", ""),
        ("Italian Fiscal Code: DEMO0001", "tax-id", "DEMO0001", "IT"),
        ("UK Company Number 0DEMO001 (United Kingdom)", "registration-id", "0DEMO001", "GB"),
        ("Registration Number DEMO0001 (Singapore)", "registration-id", "DEMO0001", "SG"),
        ("Public Registration Number 0DEMO01, Doc. 694710 (Panama)", "registration-id", "0DEMO01", "PA"),
        ("Phone Number 447700900001", "phone", "+447700900001", ""),
        ("alt. Telephone: 00447700900001", "phone", "+447700900001", ""),
        ("Telephone (44)(7700)(900001)", "phone", "+447700900001", ""),
        ("PHONE 44 7700 900001 ext. 22", "phone", "+447700900001", ""),
    ],
)
def test_a_clause_gives_kind_number_and_country(clause: str, kind: str, value: str, country: str) -> None:
    assert [(kind, value, country)] == found(clause)


@pytest.mark.parametrize(
    "clause",
    [
        "Folio Mercantil No. 000DEMO1 (Jalisco) (Mexico)",
        "Matricula Mercantil No 000DEMO1 Cali (Colombia)",
        "Trade License No. C DEMO0001 (Malta)",
        "Registration ID HRB DEMO0001 (Germany)",
        "Registration ID DEMO0001 (United States)",
        "Driver's License No. DEMO0001 (Mexico)",
        "I.F.E. DEMO0001 (Mexico)",
        "R.F.C. DEMO000101 (Mexico)",
    ],
)
def test_a_number_that_is_not_unique_in_its_country_is_kept_without_country(clause: str) -> None:
    assert [""] == [country for _, _, country in found(clause)]


def test_no_country_is_taken_from_a_nationality() -> None:
    assert [("passport", "DEMO0001", "")] == found("nationality Iran; Passport DEMO0001; citizen Iran.")


def test_a_number_under_a_label_of_persons_is_a_registration_when_an_organisation_has_it() -> None:
    assert "registration-id" == found("National ID No. DEMO0001 (Iran)", ORGANISATION)[0][0]
    assert "national-id" == found("National ID No. DEMO0001 (Iran)", PERSON)[0][0]


def test_a_ships_number_is_an_imo_number_and_a_companys_is_not() -> None:
    clause = "Vessel Registration Identification IMO 0000012"
    assert [("imo", "0000012", "")] == found(clause, VESSEL)
    assert [("registration-id", "0000012", "")] == found(clause, ORGANISATION)
    assert [("registration-id", "0000012", "")] == found("Identification Number IMO 0000012", ORGANISATION)


def test_a_social_security_number_is_both_a_national_and_a_tax_number() -> None:
    assert ["national-id", "tax-id"] == [kind for kind, _, _ in found("SSN 000-DE-0001 (United States)")]


def test_a_chinese_citizens_number_is_found_under_any_label() -> None:
    value = resident_id(1).value
    assert ["cn.resident-id", "national-id"] == [kind for kind, _, _ in found(f"Citizen's Card Number {value} (China)")]
    assert ["national-id"] == [kind for kind, _, _ in found(f"Citizen's Card Number {value} (Iran)")]


def test_a_unified_social_credit_code_is_one_under_its_spellings() -> None:
    value = uscc(1).value
    for label in ("Unified Social Credit Code (USCC)", "United Social Credit Code Certificate (USCCC)"):
        assert [("cn.uscc", value, "")] == found(f"{label} {value} (China)", ORGANISATION)
    assert "cn.uscc" == found(f"Registration Number {value} (China)", ORGANISATION)[0][0]


def test_other_names_are_names_and_no_numbers() -> None:
    remark = read_remark("DOB 1990; a.k.a. 'DEMO 77'; alt. a.k.a. \"D7\"; f.k.a. OLD DEMO.", PERSON)
    assert ("DEMO 77", "D7", "OLD DEMO") == remark.names
    assert () == remark.identifiers


def test_facts_that_are_no_numbers_are_passed_over_in_silence() -> None:
    text = "DOB 01 Oct 1943; POB Demo; Linked To: DEMO 22; Aircraft Manufacture Date 1992; 2nd Vice President."
    assert ((), (), (), ()) == read_remark(text, PERSON)


@pytest.mark.parametrize(
    "clause", ["MMSI 572469000", "SWIFT/BIC DEMOXX22", "Fax 0044 1", "Digital Currency Address - XBT 1Demo"]
)
def test_a_known_number_that_is_no_identifier_is_counted_by_its_label_alone(clause: str) -> None:
    remark = read_remark(clause, VESSEL)
    assert () == remark.identifiers
    (told,) = remark.dropped
    assert told.endswith(": no kind of identifier")
    assert clause.rsplit(maxsplit=1)[-1] not in told


def test_a_label_that_nobody_has_mapped_yet_is_counted_by_name() -> None:
    assert ("Seafarer's Identification Number: no kind of identifier",) == read_remark(
        "Seafarer's Identification Number DEMO0001 (Iran)", PERSON
    ).dropped


def test_a_label_without_a_number_is_counted() -> None:
    remark = read_remark("NIT # Provisional (Colombia); U.S.A. Passport issued 21 Jun 1992 in Demo.", PERSON)
    assert () == remark.identifiers
    assert ("NIT #: no number behind the label", "U.S.A. Passport: no number behind the label") == remark.dropped


def test_a_clause_that_is_cut_off_is_not_half_read() -> None:
    remark = read_remark("Passport DEMO0001; Passport DEMO00", PERSON, cut_off=True)
    assert ["DEMO0001"] == [each.value for each in remark.identifiers]
    assert 1 == len(remark.dropped)


def test_the_longest_label_wins() -> None:
    label = label_of("Identification Number IMO 0000012")
    assert label is not None
    assert "Company Number IMO" == label[0].name


def test_a_label_is_a_whole_word() -> None:
    assert label_of("Passports were seized in 1999") is None


@given(st.text(max_size=120), st.sampled_from(list(SubjectType)))
def test_no_remark_breaks_the_reader(text: str, subject: SubjectType) -> None:
    read_remark(text, subject)
    read_remark(f"Passport {text}; Phone Number {text}; R.F.C. {text}", subject)
