-- One row per authority, return year and check of episodes and periods of care, by the last return that carries them;
-- the start of a period by the first (docs/data_quality.md).

with
episode_facts as (

    select * from {{ ref('int_care_episode_facts') }}

),

episodes as (

    select * from {{ ref('int_care_episodes') }}

),

periods as (

    select * from {{ ref('int_care_periods') }}

),

birth_months as (

    select * from {{ ref('int_child_birth_months') }}

),

last_returns as (

    select * from {{ ref('int_quality_last_returns') }}
    where collection = 'ssda903'

),

age_rule as (

    select parameter_value as care_start_age_years_max
    from {{ ref('parameters') }}
    where programme = '*' and parameter = 'quality_care_start_age_years_max'

),

counts_of_episode_facts as (

    select
        la_code,
        last_return_year as return_year,
        count(*) as n_episodes,
        {{ count_where('is_end_before_start') }} as n_end_before_start,
        {{ count_where('withdrawn_by_return_year is not null') }} as n_withdrawn,
        {{ count_where('episode_start > ' ~ return_year_end('last_return_year')) }} as n_after_return,
        {{ count_comparable('is_end_conflicting') }} as n_comparable,
        {{ count_where('is_end_conflicting') }} as n_conflicting
    from episode_facts
    group by la_code, last_return_year

),

counts_of_episodes as (

    select
        la_code,
        last_return_year as return_year,
        count(*) as n_episodes,
        {{ count_where('is_end_inferred') }} as n_end_inferred
    from episodes
    group by la_code, last_return_year

),

counts_of_periods as (

    select
        periods.la_code,
        periods.last_return_year as return_year,
        count(*) as n_periods,
        {{ count_where('periods.is_open_at_data_end and periods.last_return_year < last_returns.last_landed_year') }}
            as n_dropped
    from periods
    left join last_returns on periods.la_code = last_returns.la_code
    group by periods.la_code, periods.last_return_year

),

counts_of_starts as (

    select
        periods.la_code,
        periods.first_return_year as return_year,
        count(*) as n_periods,
        {{ count_where('periods.is_left_truncated') }} as n_left_truncated,
        {{ count_where('not periods.is_left_truncated and birth_months.birth_month is not null') }} as n_of_known_age,
        {{ count_where(
            'not periods.is_left_truncated and '
            ~ calendar_months_between('birth_months.birth_month', 'periods.care_start')
            ~ ' > 12 * age_rule.care_start_age_years_max'
        ) }} as n_over_age
    from periods
    cross join age_rule
    left join birth_months on periods.child_id = birth_months.child_id
    group by periods.la_code, periods.first_return_year

),

all_checks as (

    {{ checks_from('counts_of_episode_facts', [
        ('care_episode_end_before_start', 'n_episodes', 'n_end_before_start'),
        ('care_episode_after_return_year', 'n_episodes', 'n_after_return'),
        ('care_episode_withdrawn_by_later_return', 'n_episodes', 'n_withdrawn'),
        ('conflicting_care_episode_end', 'n_comparable', 'n_conflicting'),
    ]) }}
    union all
    {{ checks_from('counts_of_episodes', [('care_episode_end_inferred', 'n_episodes', 'n_end_inferred')]) }}
    union all
    {{ checks_from('counts_of_periods', [
        ('open_care_period_dropped_by_later_return', 'n_periods', 'n_dropped'),
    ]) }}
    union all
    {{ checks_from('counts_of_starts', [
        ('care_period_start_before_data', 'n_periods', 'n_left_truncated'),
        ('over_18_at_care_start', 'n_of_known_age', 'n_over_age'),
    ]) }}

),

final as (

    select * from all_checks

)

select * from final
