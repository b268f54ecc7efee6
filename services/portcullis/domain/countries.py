"""Countries: ISO 3166-1 alpha-2 codes, and the code behind an English name.

`COUNTRY_CODES` holds the 249 assigned codes and the user-assigned ones from XA to XZ: no country will ever be given one of
those, so made-up people hold their passports (XK alone is in common use, for Kosovo).

`country_code` finds the code of a name as sanctions lists and registers write it. Case, accents and punctuation do not
count, nor does "the"; what stands behind a comma may also stand in front, as in "Korea, North". A place without a code of
its own, or a state that is no more, has none: then an identifier stays without country, and its match weak.

Example: "Congo, Democratic Republic of the" is CD; "undetermined" and "Yugoslavia" are None.
"""

from __future__ import annotations

import unicodedata

_NAMES = """
AD Andorra
AE United Arab Emirates | UAE
AF Afghanistan
AG Antigua and Barbuda
AI Anguilla
AL Albania
AM Armenia
AO Angola
AQ Antarctica
AR Argentina
AS American Samoa
AT Austria
AU Australia
AW Aruba
AX Åland Islands
AZ Azerbaijan
BA Bosnia and Herzegovina | Bosnia-Herzegovina | Bosnia
BB Barbados
BD Bangladesh
BE Belgium
BF Burkina Faso
BG Bulgaria
BH Bahrain
BI Burundi
BJ Benin
BL Saint Barthélemy
BM Bermuda
BN Brunei Darussalam | Brunei
BO Bolivia | Bolivia, Plurinational State of
BQ Bonaire, Sint Eustatius and Saba
BR Brazil
BS Bahamas
BT Bhutan
BV Bouvet Island
BW Botswana
BY Belarus
BZ Belize
CA Canada
CC Cocos (Keeling) Islands | Cocos Islands
CD Congo, Democratic Republic of the | DR Congo | DRC | Congo-Kinshasa
CF Central African Republic
CG Congo | Congo, Republic of the | Congo-Brazzaville
CH Switzerland
CI Côte d'Ivoire | Ivory Coast
CK Cook Islands
CL Chile
CM Cameroon
CN China | China, People's Republic of
CO Colombia
CR Costa Rica
CU Cuba
CV Cabo Verde | Cape Verde
CW Curaçao
CX Christmas Island
CY Cyprus
CZ Czechia | Czech Republic
DE Germany
DJ Djibouti
DK Denmark
DM Dominica
DO Dominican Republic
DZ Algeria
EC Ecuador
EE Estonia
EG Egypt
EH Western Sahara
ER Eritrea
ES Spain
ET Ethiopia
FI Finland
FJ Fiji
FK Falkland Islands | Falkland Islands (Malvinas) | Falkland Islands (Islas Malvinas)
FM Micronesia | Micronesia, Federated States of
FO Faroe Islands
FR France
GA Gabon
GB United Kingdom | United Kingdom of Great Britain and Northern Ireland | Great Britain | UK
GD Grenada
GE Georgia
GF French Guiana
GG Guernsey
GH Ghana
GI Gibraltar
GL Greenland
GM Gambia
GN Guinea
GP Guadeloupe
GQ Equatorial Guinea
GR Greece
GS South Georgia and the South Sandwich Islands
GT Guatemala
GU Guam
GW Guinea-Bissau
GY Guyana
HK Hong Kong
HM Heard Island and McDonald Islands
HN Honduras
HR Croatia
HT Haiti
HU Hungary
ID Indonesia
IE Ireland
IL Israel
IM Isle of Man
IN India
IO British Indian Ocean Territory
IQ Iraq
IR Iran | Iran, Islamic Republic of
IS Iceland
IT Italy
JE Jersey
JM Jamaica
JO Jordan
JP Japan
KE Kenya
KG Kyrgyzstan | Kyrgyz Republic
KH Cambodia
KI Kiribati
KM Comoros
KN Saint Kitts and Nevis
KP Korea, North | Korea, Democratic People's Republic of | DPRK
KR Korea, South | Korea, Republic of
KW Kuwait
KY Cayman Islands
KZ Kazakhstan
LA Laos | Lao People's Democratic Republic
LB Lebanon
LC Saint Lucia
LI Liechtenstein
LK Sri Lanka
LR Liberia
LS Lesotho
LT Lithuania
LU Luxembourg
LV Latvia
LY Libya
MA Morocco
MC Monaco
MD Moldova | Moldova, Republic of
ME Montenegro
MF Saint Martin | Saint Martin (French part)
MG Madagascar
MH Marshall Islands
MK North Macedonia | Macedonia | Macedonia, The Former Yugoslav Republic of
ML Mali
MM Myanmar | Burma
MN Mongolia
MO Macao | Macau
MP Northern Mariana Islands
MQ Martinique
MR Mauritania
MS Montserrat
MT Malta
MU Mauritius
MV Maldives
MW Malawi
MX Mexico
MY Malaysia
MZ Mozambique
NA Namibia
NC New Caledonia
NE Niger
NF Norfolk Island
NG Nigeria
NI Nicaragua
NL Netherlands | Netherlands, Kingdom of the | Holland
NO Norway
NP Nepal
NR Nauru
NU Niue
NZ New Zealand
OM Oman
PA Panama
PE Peru
PF French Polynesia
PG Papua New Guinea
PH Philippines
PK Pakistan
PL Poland
PM Saint Pierre and Miquelon
PN Pitcairn | Pitcairn Islands
PR Puerto Rico
PS Palestine, State of | Palestine | Palestinian | Palestinian Authority | West Bank | Gaza | Gaza Strip
PT Portugal
PW Palau
PY Paraguay
QA Qatar
RE Réunion
RO Romania
RS Serbia
RU Russia | Russian Federation
RW Rwanda
SA Saudi Arabia
SB Solomon Islands
SC Seychelles
SD Sudan
SE Sweden
SG Singapore
SH Saint Helena, Ascension and Tristan da Cunha | Saint Helena
SI Slovenia
SJ Svalbard and Jan Mayen | Svalbard
SK Slovakia | Slovak Republic
SL Sierra Leone
SM San Marino
SN Senegal
SO Somalia
SR Suriname
SS South Sudan
ST Sao Tome and Principe
SV El Salvador
SX Sint Maarten | Sint Maarten (Dutch part)
SY Syria | Syrian Arab Republic
SZ Eswatini | Swaziland
TC Turks and Caicos Islands
TD Chad
TF French Southern Territories
TG Togo
TH Thailand
TJ Tajikistan
TK Tokelau
TL Timor-Leste | East Timor
TM Turkmenistan
TN Tunisia
TO Tonga
TR Türkiye | Turkey
TT Trinidad and Tobago
TV Tuvalu
TW Taiwan | Taiwan, Province of China
TZ Tanzania | Tanzania, United Republic of
UA Ukraine
UG Uganda
UM United States Minor Outlying Islands
US United States | United States of America | USA
UY Uruguay
UZ Uzbekistan
VA Holy See | Vatican City | Vatican City State
VC Saint Vincent and the Grenadines
VE Venezuela | Venezuela, Bolivarian Republic of
VG Virgin Islands, British
VI Virgin Islands, U.S. | Virgin Islands, United States
VN Vietnam | Viet Nam
VU Vanuatu
WF Wallis and Futuna
WS Samoa
YE Yemen
YT Mayotte
ZA South Africa
ZM Zambia
ZW Zimbabwe
XK Kosovo
"""


def country_code(name: str) -> str | None:
    """Give the alpha-2 code of an English name, or None where there is none."""
    return _CODES_BY_NAME.get(_plain(name))


def _plain(name: str) -> str:
    head, comma, tail = name.partition(",")
    # "and" behind a comma is an enumeration, not a name turned round.
    turned = f"{tail} {head}" if comma and " and " not in tail else name
    bare = "".join(each for each in unicodedata.normalize("NFKD", turned.casefold()) if not unicodedata.combining(each))
    spaced = "".join(each if each.isalnum() else "" if each == "." else " " for each in bare)
    return " ".join("saint" if word == "st" else word for word in spaced.split() if word != "the")


def _rows() -> list[tuple[str, str]]:
    return [(row[:2], name.strip()) for row in _NAMES.strip().splitlines() for name in row[3:].split("|")]


_CODES_BY_NAME = {_plain(name): code for code, name in _rows()}
ASSIGNED_CODES = frozenset(code for code, _ in _rows()) - {"XK"}
"""The officially assigned codes of ISO 3166-1."""

USER_ASSIGNED_CODES = frozenset("X" + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""The codes that ISO 3166-1 leaves to its users, as far as Portcullis takes them."""

COUNTRY_CODES = ASSIGNED_CODES | USER_ASSIGNED_CODES
"""Every code that an identifier's country may be."""
