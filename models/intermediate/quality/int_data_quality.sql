-- One row per authority, return year and check: how many records were looked at and how many failed. Authority is null
-- for the national school tables. A check says what was found; it stops nothing.

with
authorities as (

    select * from {{ ref('local_authorities') }}

),

outcome_collections as (

    select * from {{ ref('outcome_collections') }}

),

programmes as (

    select * from {{ ref('programmes') }}

),

returns as (

    select * from {{ ref('stg_manifest__returns') }}
    where not is_superseded

),

landed_modules as (

    select * from {{ ref('int_landed_modules') }}

),

return_counts as (

    select * from {{ ref('stg_manifest__return_counts') }}

),

unlisted_codes as (

    select * from {{ ref('stg_manifest__unlisted_codes') }}

),

cin_children as (

    select * from {{ ref('stg_cin__children') }}

),

child_records as (

    select * from {{ ref('int_child_records') }}

),

children as (

    select * from {{ ref('int_children') }}

),

child_pupils as (

    select * from {{ ref('int_child_pupils') }}

),

referral_spells as (

    select * from {{ ref('int_referral_spells') }}

),

plan_spells as (

    select * from {{ ref('int_cp_plan_spells') }}

),

care_episode_facts as (

    select * from {{ ref('int_care_episode_facts') }}

),

care_episodes as (

    select * from {{ ref('int_care_episodes') }}

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

last_returns as (

    select
        collection,
        la_code,
        max(return_year) as last_landed_year
    from returns
    group by collection, la_code

),

counts_of_accepted_records as (

    select
        returns.return_id,
        returns.la_code,
        returns.return_year,
        sum(return_counts.n_found) as n_found,
        sum(return_counts.n_accepted) as n_accepted,
        sum(return_counts.n_rejected) as n_rejected
    from returns
    inner join return_counts on returns.return_id = return_counts.return_id
    group by returns.return_id, returns.la_code, returns.return_year

),

rejected_records as (

    select
        la_code,
        return_year,
        'rejected_record' as check_name,
        sum(n_found) as n_records,
        sum(n_rejected) as n_failed
    from counts_of_accepted_records
    group by la_code, return_year

),

unlisted_codes_of_returns as (

    select
        return_id,
        sum(n_records) as n_unlisted
    from unlisted_codes
    group by return_id

),

codes_outside_the_lists as (

    select
        returns.la_code,
        returns.return_year,
        'unlisted_code' as check_name,
        sum(returns.n_accepted) as n_records,
        sum(coalesce(unlisted_codes_of_returns.n_unlisted, 0)) as n_failed
    from returns
    left join unlisted_codes_of_returns on returns.return_id = unlisted_codes_of_returns.return_id
    group by returns.la_code, returns.return_year

),

programme_years as (

    select
        programme,
        {{ whole_numbers(financial_year('data_span_start'), financial_year('data_span_end')) }} as return_year
    from programmes

),

years_expected as (

    select distinct
        outcome_collections.collection,
        outcome_collections.module,
        authorities.la_code,
        programme_years.return_year
    from outcome_collections
    inner join programme_years on outcome_collections.programme = programme_years.programme
    inner join authorities
        on
            (
                authorities.valid_from is null
                or {{ financial_year('authorities.valid_from') }} <= programme_years.return_year
            )
            and (
                authorities.valid_to is null
                or {{ financial_year('authorities.valid_to') }} >= programme_years.return_year
            )
    where outcome_collections.collection in ('cin', 'ssda903')

),

missing_returns as (

    select
        years_expected.la_code,
        cast(years_expected.return_year as integer) as return_year,
        'missing_return_' || years_expected.collection as check_name,
        1 as n_records,
        max(case when landed_modules.collection is null then 1 else 0 end) as n_failed
    from years_expected
    left join landed_modules
        on
            years_expected.collection = landed_modules.collection
            and years_expected.module = landed_modules.module
            and years_expected.la_code = landed_modules.la_code
            and years_expected.return_year = landed_modules.return_year
    group by years_expected.la_code, years_expected.return_year, years_expected.collection

),

child_elements as (

    select
        la_code,
        return_year,
        row_number() over (partition by return_id, child_id order by child_no) as place_of_child,
        is_expected_birth
    from cin_children

),

duplicate_children as (

    select
        la_code,
        return_year,
        'duplicate_child_in_return' as check_name,
        count(*) as n_records,
        sum(case when place_of_child > 1 then 1 else 0 end) as n_failed
    from child_elements
    group by la_code, return_year

),

unborn_children as (

    select
        la_code,
        return_year,
        'unborn_child' as check_name,
        count(*) as n_records,
        sum(case when is_expected_birth then 1 else 0 end) as n_failed
    from child_elements
    group by la_code, return_year

),

children_of_return_year as (

    select distinct
        child_records.la_code,
        child_records.return_year,
        child_records.child_id
    from child_records

),

children_with_flags as (

    select
        children_of_return_year.la_code,
        children_of_return_year.return_year,
        children.is_gender_conflicting,
        children.is_ethnicity_conflicting,
        children.is_birth_month_conflicting,
        children.birth_month is null as is_birth_month_missing
    from children_of_return_year
    inner join children on children_of_return_year.child_id = children.child_id

),

{% for flag, check_name in [
    ('is_gender_conflicting', 'conflicting_gender'),
    ('is_ethnicity_conflicting', 'conflicting_ethnicity'),
    ('is_birth_month_conflicting', 'conflicting_birth_month'),
    ('is_birth_month_missing', 'missing_birth_month'),
] %}
{{ check_name }} as (

    select
        la_code,
        return_year,
        '{{ check_name }}' as check_name,
        count(*) as n_records,
        sum(case when {{ flag }} then 1 else 0 end) as n_failed
    from children_with_flags
    group by la_code, return_year

),
{% endfor %}

pupils_of_return_year as (

    select distinct
        la_code,
        return_year,
        child_id,
        pupil_id
    from child_records
    where pupil_id is not null

),

pupils_in_two_authorities as (

    select
        pupils_of_return_year.la_code,
        pupils_of_return_year.return_year,
        'pupil_in_two_authorities' as check_name,
        count(*) as n_records,
        sum(case when child_pupils.is_pupil_in_two_authorities then 1 else 0 end) as n_failed
    from pupils_of_return_year
    inner join child_pupils
        on
            pupils_of_return_year.child_id = child_pupils.child_id
            and pupils_of_return_year.pupil_id = child_pupils.pupil_id
    group by pupils_of_return_year.la_code, pupils_of_return_year.return_year

),

{% for flag, check_name, spells in [
    ('is_closure_before_referral', 'closure_before_referral', 'referral_spells'),
    ('is_inside_open_spell', 'referral_inside_open_spell', 'referral_spells'),
    ('is_end_before_start', 'plan_end_before_start', 'plan_spells'),
    ('is_inside_open_plan', 'plan_inside_open_plan', 'plan_spells'),
    ('is_end_inferred', 'care_episode_end_inferred', 'care_episodes'),
    ('withdrawn_by_return_year is not null', 'care_episode_withdrawn_by_later_return', 'care_episode_facts'),
] %}
{{ check_name }} as (

    select
        la_code,
        last_return_year as return_year,
        '{{ check_name }}' as check_name,
        count(*) as n_records,
        sum(case when {{ flag }} then 1 else 0 end) as n_failed
    from {{ spells }}
    group by la_code, last_return_year

),
{% endfor %}

{% for check_name, spells, collection in [
    ('open_referral_dropped_by_later_return', 'referral_spells', 'cin'),
    ('open_plan_dropped_by_later_return', 'plan_spells', 'cin'),
    ('open_care_period_dropped_by_later_return', 'care_periods', 'ssda903'),
] %}
{{ check_name }} as (

    select
        spells.la_code,
        spells.last_return_year as return_year,
        '{{ check_name }}' as check_name,
        count(*) as n_records,
        sum(
            case
                when spells.is_open_at_data_end and spells.last_return_year < last_returns.last_landed_year then 1
                else 0
            end
        ) as n_failed
    from {{ spells }} as spells
    inner join last_returns
        on
            spells.la_code = last_returns.la_code
            and last_returns.collection = '{{ collection }}'
    group by spells.la_code, spells.last_return_year

),
{% endfor %}

periods_without_observed_start as (

    select
        la_code,
        first_return_year as return_year,
        'care_period_start_before_data' as check_name,
        count(*) as n_records,
        sum(case when is_left_truncated then 1 else 0 end) as n_failed
    from care_periods
    group by la_code, first_return_year

),

all_checks as (

    {% for check in [
        'rejected_records', 'codes_outside_the_lists', 'missing_returns', 'duplicate_children', 'unborn_children',
        'conflicting_gender', 'conflicting_ethnicity', 'conflicting_birth_month', 'missing_birth_month',
        'pupils_in_two_authorities', 'closure_before_referral', 'referral_inside_open_spell', 'plan_end_before_start',
        'plan_inside_open_plan', 'care_episode_end_inferred', 'care_episode_withdrawn_by_later_return',
        'open_referral_dropped_by_later_return', 'open_plan_dropped_by_later_return',
        'open_care_period_dropped_by_later_return', 'periods_without_observed_start',
    ] %}
    select * from {{ check }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

final as (

    select
        la_code,
        cast(return_year as integer) as return_year,
        check_name,
        cast(n_records as bigint) as n_records,
        cast(n_failed as bigint) as n_failed
    from all_checks

)

select * from final
