import phonenumbers
import pytest

from portcullis.domain.countries import ASSIGNED_CODES, COUNTRY_CODES, USER_ASSIGNED_CODES, country_code


def test_the_assigned_codes_are_249():
    assert 249 == len(ASSIGNED_CODES)


def test_every_region_with_a_telephone_has_a_code():
    # AC and TA are exceptionally reserved, not assigned.
    assert {"AC", "TA"} == phonenumbers.SUPPORTED_REGIONS - COUNTRY_CODES


def test_the_user_assigned_codes_are_taken_for_made_up_people():
    assert 26 == len(USER_ASSIGNED_CODES)
    assert not USER_ASSIGNED_CODES & ASSIGNED_CODES
    assert {"XA", "XZ"} <= COUNTRY_CODES


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Cuba", "CU"),
        ("Korea, North", "KP"),
        ("North Korea", "KP"),
        ("Korea, Democratic People's Republic of", "KP"),
        ("Korea, South", "KR"),
        ("Burma", "MM"),
        ("Congo, Democratic Republic of the", "CD"),
        ("Congo, Republic of the", "CG"),
        ("West Bank", "PS"),
        ("Palestinian", "PS"),
        ("Virgin Islands, British", "VG"),
        ("British Virgin Islands", "VG"),
        ("Bahamas, The", "BS"),
        ("The Gambia", "GM"),
        ("Man, Isle of", "IM"),
        ("Cote d Ivoire", "CI"),
        ("Côte d'Ivoire", "CI"),
        ("Czech Republic", "CZ"),
        ("Turkey", "TR"),
        ("Türkiye", "TR"),
        ("U.K.", "GB"),
        ("  united   states ", "US"),
        ("St. Kitts and Nevis", "KN"),
        ("Kosovo", "XK"),
        ("Bonaire, Sint Eustatius and Saba", "BQ"),
    ],
)
def test_a_country_is_found_by_the_names_that_lists_use(name, code):
    assert code == country_code(name)


@pytest.mark.parametrize(
    "name", ["", "undetermined", "Yugoslavia", "Netherlands Antilles", "Region: Crimea", "-0-", "Jalisco"]
)
def test_what_is_no_country_has_no_code(name):
    assert country_code(name) is None


def test_two_countries_never_share_a_name():
    assert ("NE", "NG") == (country_code("Niger"), country_code("Nigeria"))
    assert ("DM", "DO") == (country_code("Dominica"), country_code("Dominican Republic"))
    assert ("GN", "GW", "GQ", "PG") == tuple(
        map(country_code, ("Guinea", "Guinea-Bissau", "Equatorial Guinea", "Papua New Guinea"))
    )
    assert ("US", "UM", "VI") == tuple(
        map(country_code, ("United States", "United States Minor Outlying Islands", "Virgin Islands, U.S."))
    )
