-- One row per programme and authority that exists in the programme's data span: which checks give reason to doubt
-- its returns of that span, in a line that can be read as it stands. The programme * takes every year that any
-- authority has landed; a year that nobody has landed counts where a programme needs it (docs/data_quality.md).

with
data_quality as (

    select * from {{ ref('int_data_quality') }}
    where la_code is not null and is_over_threshold

),

checks as (

    select * from {{ ref('data_quality_checks') }}

),

programmes as (

    select * from {{ ref('programmes') }}

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

landed_modules as (

    select * from {{ ref('int_landed_modules') }}
    where
        (collection = 'cin' and module = 'census')
        or (collection = 'ssda903' and module = 'episodes')

),

spans as (

    select
        programme,
        {{ financial_year('data_span_start') }} as first_year,
        {{ financial_year('data_span_end') }} as last_year
    from programmes

    union all

    select
        '*' as programme,
        min(return_year) as first_year,
        max(return_year) as last_year
    from landed_modules
    having count(*) > 0

),

authorities_of_spans as (

    select
        spans.programme,
        spans.first_year,
        spans.last_year,
        authorities.la_code
    from spans
    inner join authorities
        on
            (authorities.valid_from is null or {{ financial_year('authorities.valid_from') }} <= spans.last_year)
            and (authorities.valid_to is null or {{ financial_year('authorities.valid_to') }} >= spans.first_year)

),

returns_counted as (

    select
        spans.programme,
        landed_modules.la_code,
        {{ count_where("landed_modules.collection = 'cin'") }} as n_returns_cin,
        {{ count_where("landed_modules.collection = 'ssda903'") }} as n_returns_ssda903
    from spans
    inner join landed_modules on landed_modules.return_year between spans.first_year and spans.last_year
    group by spans.programme, landed_modules.la_code

),

checks_over_threshold as (

    select
        spans.programme,
        data_quality.la_code,
        data_quality.check_name,
        {{ joined_text(financial_year_name('data_quality.return_year'), 'data_quality.return_year', ', ') }} as years
    from spans
    inner join data_quality on data_quality.return_year between spans.first_year and spans.last_year
    group by spans.programme, data_quality.la_code, data_quality.check_name

),

doubts as (

    select
        checks_over_threshold.programme,
        checks_over_threshold.la_code,
        {{ count_where("checks.severity = 'serious'") }} as n_checks_serious,
        {{ count_where("checks.severity <> 'info'") }} as n_checks_in_doubt,
        {{ count_where("checks.severity = 'info'") }} as n_checks_noted,
        {{ joined_text(
            "case when checks.severity <> 'info' then checks.label || ' (' || checks_over_threshold.years || ')' end",
            "case when checks.severity = 'serious' then 0 else 1 end, checks.check_order",
            '; '
        ) }} as doubts
    from checks_over_threshold
    inner join checks on checks_over_threshold.check_name = checks.check_name
    group by checks_over_threshold.programme, checks_over_threshold.la_code

),

final as (

    select
        authorities_of_spans.programme,
        authorities_of_spans.la_code,
        authorities_of_spans.first_year,
        authorities_of_spans.last_year,
        cast(coalesce(returns_counted.n_returns_cin, 0) as integer) as n_returns_cin,
        cast(coalesce(returns_counted.n_returns_ssda903, 0) as integer) as n_returns_ssda903,
        cast(coalesce(doubts.n_checks_serious, 0) as integer) as n_checks_serious,
        cast(coalesce(doubts.n_checks_in_doubt, 0) as integer) as n_checks_in_doubt,
        cast(coalesce(doubts.n_checks_noted, 0) as integer) as n_checks_noted,
        case
            when doubts.n_checks_serious > 0 then 'serious'
            when doubts.n_checks_in_doubt > 0 then 'doubt'
            when doubts.n_checks_noted > 0 then 'info'
            else 'none'
        end as worst_severity,
        coalesce(doubts.doubts, '') as doubts
    from authorities_of_spans
    left join returns_counted
        on
            authorities_of_spans.programme = returns_counted.programme
            and authorities_of_spans.la_code = returns_counted.la_code
    left join doubts
        on
            authorities_of_spans.programme = doubts.programme
            and authorities_of_spans.la_code = doubts.la_code

)

select * from final
